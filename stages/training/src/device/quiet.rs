//! Silences library panics during device look-up. Libraries panic where the machine lacks a driver; during a look-up that
//! only means "not found", so it isn't printed.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of look-ups under way on any thread; libraries look for drivers on threads of their own.
static LOOKING: AtomicUsize = AtomicUsize::new(0);

/// While this guard lives, panics in the libraries aren't printed.
pub(super) struct Quiet(());

impl Quiet {
    pub fn new() -> Self {
        LOOKING.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        LOOKING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether a panic only means that a library's look-up found nothing.
pub(super) fn is_answer(panic: &PanicHookInfo<'_>) -> bool {
    LOOKING.load(Ordering::SeqCst) > 0 && panic.location().is_some_and(|place| is_library(place.file()))
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
    fn only_the_libraries_behind_devices_are_quiet() {
        assert!(is_library("/home/me/.cargo/registry/src/index/cubecl-wgpu-0.11.3/src/runtime.rs"));
        assert!(is_library(r"C:\Users\me\.cargo\registry\src\index\burn-tensor-0.22.1\src\device.rs"));
        assert!(!is_library("stages/training/src/trainee.rs"));
        assert!(!is_library("/rustc/29483883eed69d5fb4db01964cdf2af4d86e9cb2/library/core/src/option.rs"));
    }
}
