//! What stops a run from outside: Ctrl-C, a scheduler's SIGTERM, the terminal's closing. The first stops the run after
//! the current item; only a second Ctrl-C ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

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

/// Listens from now on.
pub(super) fn listen(control: &Control) -> Asked {
    let (asked, control) = (Asked::default(), control.clone());
    if let Err(error) = wait(asked.clone(), control) {
        tracing::warn!("a signal will end the run at once: {error}");
    }
    asked
}

#[cfg(unix)]
fn wait(asked: Asked, control: Control) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            asked.signal(signal, &control);
        }
    })?;
    Ok(())
}

#[cfg(not(unix))]
fn wait(asked: Asked, control: Control) -> std::io::Result<()> {
    ctrlc::set_handler(move || asked.signal(INTERRUPT, &control)).map_err(std::io::Error::other)
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
