//! Arbitrary bytes as a checkpoint: read and written again, or refused. A changed byte invalidates a checksum, so the same bytes are also
//! the state of a checkpoint with valid checksums.

#![no_main]

use std::alloc::System;

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use pipeline::run::read_checkpoint;
use sha2::{Digest, Sha256};

/// What may be held at once, in bytes; more ends the process.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 256 << 20);

/// A checkpoint without parts whose state is this text.
fn sealed(state: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in ["", "state", state] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let sum: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let sums = serde_json::json!({"": sum}).to_string();
    let about = serde_json::json!({"format": "pipeline checkpoint", "version": "1", "state": state, "sha256": sums});
    let header = serde_json::json!({"__metadata__": about}).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(checkpoint) = read_checkpoint(bytes) {
        assert!(checkpoint.snapshot.bytes() <= bytes.len() as u64);
    }
    if let Ok(state) = std::str::from_utf8(bytes)
        && let Ok(checkpoint) = read_checkpoint(&sealed(state))
    {
        assert_eq!(checkpoint.snapshot.bytes(), 0, "no part was written");
    }
});
