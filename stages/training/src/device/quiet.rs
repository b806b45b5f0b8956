//! Silences the libraries during device look-up. Where the machine lacks a driver they panic and log errors; during a look-up that
//! only means "not found", so it isn't printed. The first panic's words are kept as the reason.

use std::panic::PanicHookInfo;
use std::sync::{Mutex, MutexGuard, PoisonError};

use log::LevelFilter;

/// The look-ups under way on any thread; libraries look for drivers on threads of their own.
struct Looking {
    lookups: usize,
    /// The level of the libraries' logs outside look-ups.
    logs: LevelFilter,
    /// The first line of the first panic since the first of these look-ups began.
    said: Option<String>,
}

static LOOKING: Mutex<Looking> = Mutex::new(Looking { lookups: 0, logs: LevelFilter::Off, said: None });

impl Looking {
    /// Begins a look-up, while the level of the logs is `logs`; the level to set, if it changes.
    fn begin(&mut self, logs: LevelFilter) -> Option<LevelFilter> {
        self.lookups += 1;
        if self.lookups > 1 {
            return None;
        }
        (self.logs, self.said) = (logs, None);
        (logs < LevelFilter::Debug).then_some(LevelFilter::Off)
    }

    /// Ends one; the level to set, if it changes.
    fn end(&mut self) -> Option<LevelFilter> {
        self.lookups -= 1;
        (self.lookups == 0).then_some(self.logs)
    }
}

fn looking() -> MutexGuard<'static, Looking> {
    LOOKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While this guard lives, panics in the libraries aren't printed, and neither are their logs (which go through `log`; ours
/// don't), unless someone asked for details.
pub(super) struct Quiet(());

impl Quiet {
    pub fn new() -> Self {
        if let Some(level) = looking().begin(log::max_level()) {
            log::set_max_level(level);
        }
        Self(())
    }

    /// The first line of the first panic that was kept quiet.
    pub fn said(&self) -> Option<String> {
        looking().said.clone()
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(level) = looking().end() {
            log::set_max_level(level);
        }
    }
}

/// Whether a panic only means that a library's look-up found nothing.
pub(super) fn is_answer(panic: &PanicHookInfo<'_>) -> bool {
    let mut looking = looking();
    let answer = looking.lookups > 0 && panic.location().is_some_and(|place| is_library(place.file()));
    if answer && looking.said.is_none() {
        looking.said = panic.payload_as_str().and_then(first_line);
    }
    answer
}

/// The first line that says something.
pub(super) fn first_line(words: &str) -> Option<String> {
    words.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

/// Whether a source file belongs to one of the libraries behind devices.
fn is_library(file: &str) -> bool {
    let folders = file.split(['/', '\\']);
    folders.into_iter().any(|folder| ["burn-", "cubecl-", "wgpu-", "cudarc-"].iter().any(|name| folder.starts_with(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_come_back_after_the_last_look_up() {
        let mut looking = Looking { lookups: 0, logs: LevelFilter::Off, said: Some("before".into()) };
        assert_eq!(looking.begin(LevelFilter::Info), Some(LevelFilter::Off));
        assert_eq!(looking.said, None);
        assert_eq!(looking.begin(LevelFilter::Off), None);
        assert_eq!(looking.end(), None);
        assert_eq!(looking.end(), Some(LevelFilter::Info));
        assert_eq!(looking.begin(LevelFilter::Trace), None, "someone asked for details");
    }

    #[test]
    fn a_reason_is_one_line() {
        assert_eq!(
            first_line("\n   CUDA installation not found.\n   Set CUDA_PATH.\n").as_deref(),
            Some("CUDA installation not found.")
        );
        assert_eq!(first_line(" \n"), None);
    }

    #[test]
    fn only_the_libraries_behind_devices_are_quiet() {
        assert!(is_library("/home/me/.cargo/registry/src/index/cubecl-wgpu-0.11.3/src/runtime.rs"));
        assert!(is_library(r"C:\Users\me\.cargo\registry\src\index\burn-tensor-0.22.1\src\device.rs"));
        assert!(!is_library("stages/training/src/trainee.rs"));
        assert!(!is_library("/rustc/29483883eed69d5fb4db01964cdf2af4d86e9cb2/library/core/src/option.rs"));
    }
}
