//! Libraries panic where a machine lacks the driver that they look for. While devices are looked for, such panics are an answer
//! and aren't printed.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many look-ups are under way, on any thread: libraries look on threads of their own.
static LOOKING: AtomicUsize = AtomicUsize::new(0);

/// Libraries' panics aren't printed until this is dropped.
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

/// Whether a panic is a library's answer to a look-up.
pub(super) fn is_answer(panic: &PanicHookInfo<'_>) -> bool {
    LOOKING.load(Ordering::SeqCst) > 0 && panic.location().is_some_and(|place| is_library(place.file()))
}

/// Whether a source file is one of the libraries behind devices.
fn is_library(file: &str) -> bool {
    let folders = file.split(['/', '\\']);
    folders.into_iter().any(|folder| ["burn-", "cubecl-", "wgpu-", "cudarc-"].iter().any(|name| folder.starts_with(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_libraries_behind_devices_are_quiet() {
        assert!(is_library("/home/me/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/cubecl-wgpu-0.11.3/src/runtime.rs"));
        assert!(is_library(r"C:\Users\me\.cargo\registry\src\index\burn-tensor-0.22.1\src\device.rs"));
        assert!(!is_library("stages/training/src/trainee.rs"));
        assert!(!is_library("/rustc/29483883eed69d5fb4db01964cdf2af4d86e9cb2/library/core/src/option.rs"));
    }
}
