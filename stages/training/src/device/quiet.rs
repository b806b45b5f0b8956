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

fn looking() -> MutexGuard<'static, Looking> {
    LOOKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While this guard lives, panics in the libraries aren't printed, and neither are their logs (which go through `log`; ours
/// don't), unless someone asked for details.
pub(super) struct Quiet(());

impl Quiet {
    pub fn new() -> Self {
        let mut looking = looking();
        if looking.lookups == 0 {
            (looking.logs, looking.said) = (log::max_level(), None);
            if looking.logs < LevelFilter::Debug {
                log::set_max_level(LevelFilter::Off);
            }
        }
        looking.lookups += 1;
        Self(())
    }

    /// The first line of the first panic that was kept quiet.
    pub fn said(&self) -> Option<String> {
        looking().said.clone()
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let mut looking = looking();
        looking.lookups -= 1;
        if looking.lookups == 0 {
            log::set_max_level(looking.logs);
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

fn first_line(words: &str) -> Option<String> {
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

    /// A single test, because look-ups are counted for the whole process.
    #[test]
    fn logs_come_back_after_the_last_look_up() {
        log::set_max_level(LevelFilter::Info);
        let (first, second) = (Quiet::new(), Quiet::new());
        drop(first);
        assert_eq!(log::max_level(), LevelFilter::Off);
        assert_eq!(second.said(), None);
        drop(second);
        assert_eq!(log::max_level(), LevelFilter::Info);
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
