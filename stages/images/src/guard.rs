//! Calls into decoders of strangers' files. They are written not to panic, and a crafted file still makes one panic now and then:
//! that is an error of the file then, and is neither shown nor passed on.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use pipeline_contract::panic_words;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Ends the guard of a thread, however its work ended.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        GUARDED.set(false);
    }
}

/// Runs a decoder. What it worked on is lost when it panics, so `work` must own it.
///
/// # Errors
/// What the decoder panicked with, in words.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                before(panic);
            }
        }));
    });
    let _guard = Guard;
    GUARDED.set(true);
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|panic| format!("its decoder failed ({})", panic_words(&*panic).unwrap_or("no reason given")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_that_panics_is_an_error_and_others_are_left_alone() {
        assert_eq!(guarded(|| 3), Ok(3));
        assert_eq!(guarded(|| -> u8 { panic!("no such table") }), Err("its decoder failed (no such table)".into()));
        assert!(!GUARDED.get());
    }
}
