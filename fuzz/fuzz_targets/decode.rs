//! Arbitrary bytes as an image file and as its mask: decoded within the memory allowed for the pixels, or refused.

#![no_main]

use std::alloc::System;

use cap::Cap;
use libfuzzer_sys::fuzz_target;

/// Pixels that a file may have here: a side of 512, so that a run takes milliseconds.
const PIXELS: u64 = 1 << 18;

/// What may be held at once, in bytes; more ends the process. Twice the documented limit of one file, plus some for the fuzzer.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 128 << 20);

fuzz_target!(|bytes: &[u8]| {
    if let Ok(pair) = pipeline_images::decode(bytes, bytes, PIXELS) {
        let pixels = pair.height * pair.width;
        assert!(pixels > 0 && pixels as u64 <= PIXELS);
        assert_eq!((pair.image.len(), pair.mask.len()), (3 * pixels, pixels));
        assert!(pair.mask.iter().all(|&value| value <= 1));
    }
});
