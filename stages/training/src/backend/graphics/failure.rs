//! What a graphics device's failures mean: backends panic, and word out-of-memory errors in many ways.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pipeline_contract::panic_words;

use crate::device;
use crate::memory::{Fault, Ledger, Tried};

/// Runs work on a device whose backend panics when it can't get memory.
pub(super) fn guarded<T>(ledger: &Ledger, work: impl FnOnce() -> Tried<T>) -> Tried<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(failure(ledger, panic_words(&*panic).unwrap_or("it didn't say why"))))
}

/// What a device's message means: out of memory, or something else.
pub(super) fn failure(ledger: &Ledger, message: &str) -> Fault {
    let lower = message.to_lowercase();
    let memory = ["out of memory", "outofmemory", "out_of_memory", "not enough memory", "allocat", "buffertoobig"];
    if memory.iter().any(|word| lower.contains(word)) {
        Fault::Memory(ledger.refusal(0, format!("the device ({message})")))
    } else {
        Fault::Failed(device::failed(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_memory_is_told_from_one_that_failed() {
        let ledger = Ledger::default();
        for words in ["CUDA_ERROR_OUT_OF_MEMORY", "Out of Memory", "can't allocate 4096 bytes", "BufferTooBig(17179869184)"] {
            let fault = guarded(&ledger, || -> Tried<()> { panic!("{words}") });
            assert!(matches!(fault, Err(Fault::Memory(short)) if short.refused_by.contains(words)), "{words}");
        }
        assert!(matches!(guarded(&ledger, || -> Tried<()> { panic!("device lost") }), Err(Fault::Failed(_))));
    }
}
