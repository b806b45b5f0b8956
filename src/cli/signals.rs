//! What stops a run from outside: Ctrl-C, a scheduler's SIGTERM, the terminal's closing. The first stops the run after
//! the current item; only a second Ctrl-C ends the program at once.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::exit;
use crate::engine::Control;

/// Which signal came first.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked(Arc<AtomicI32>);

/// Ctrl-C, on every system.
const INTERRUPT: i32 = 2;

impl Asked {
    /// The exit code of a stopped run, which depends on whether it can resume.
    pub(super) fn exit(&self, can_go_on: bool) -> u8 {
        // A person who presses Ctrl-C knows what happened; a scheduler only sees the code.
        let scheduler = ![0, INTERRUPT].contains(&self.0.load(Ordering::SeqCst));
        if scheduler && can_go_on { exit::RESUME } else { exit::INTERRUPTED }
    }

    fn is_stopped(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }

    fn signal(&self, signal: i32, control: &Control) {
        let before = self.0.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
        if before.is_err() && signal == INTERRUPT {
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
        if before.is_ok() {
            tracing::warn!("stopping; press Ctrl-C again to stop at once");
            control.drain();
        }
    }
}

/// The run that a signal stops; of several, the last.
static CURRENT: Mutex<Option<(Asked, Control)>> = Mutex::new(None);

/// Listens from now on, and stops this run instead of an earlier one. A run that begins after a signal stops at once.
pub(super) fn listen(control: &Control) -> Asked {
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    let before = current.as_ref().map(|(asked, _)| asked.clone());
    let asked = before.clone().unwrap_or_default();
    if asked.is_stopped() {
        control.drain();
    }
    *current = Some((asked.clone(), control.clone()));
    if before.is_none()
        && let Err(error) = wait()
    {
        tracing::warn!("a signal will end the run at once: {error}");
    }
    asked
}

/// The signal that came, if one did.
pub(super) fn asked() -> Option<Asked> {
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    current.as_ref().map(|(asked, _)| asked.clone()).filter(Asked::is_stopped)
}

fn came(signal: i32) {
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some((asked, control)) = current {
        asked.signal(signal, &control);
    }
}

#[cfg(unix)]
fn wait() -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            came(signal);
        }
    })?;
    Ok(())
}

#[cfg(not(unix))]
fn wait() -> std::io::Result<()> {
    ctrlc::set_handler(|| came(INTERRUPT)).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduler_is_told_to_resume_and_a_person_is_not() {
        let control = Control::new();
        for (signal, code) in [(INTERRUPT, exit::INTERRUPTED), (15, exit::RESUME), (1, exit::RESUME)] {
            let asked = Asked::default();
            asked.signal(signal, &control);
            assert!(control.is_draining());
            assert_eq!((asked.exit(true), asked.exit(false)), (code, exit::INTERRUPTED));
        }
    }
}
