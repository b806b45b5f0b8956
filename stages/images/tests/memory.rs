//! What small files make `decode` allocate: never more than a small limit beside the pixels that it may read. And the fuzzer's
//! seeds, read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Cursor;
use std::sync::{Mutex, PoisonError};

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use pipeline_contract::StageError;
use pipeline_contract::memory::{CountingAllocator, Side, enter, reset_peak, usage};
use pipeline_images::decode;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Bytes that decoding takes at its peak, whether it succeeds or not.
fn peak(bytes: &[u8], max_pixels: u64) -> u64 {
    // The counts are the whole program's, so tests take turns. Nothing of the test harness is on the device's side.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let _side = enter(Side::Device);
    drop(vec![0_u8; 1 << 16]);
    reset_peak(Side::Device);
    let before = usage(Side::Device).unwrap().now;
    let _either = decode(bytes, bytes, max_pixels);
    usage(Side::Device).unwrap().peak - before
}

/// What a decoder may take beside the pixels, for its header and its work.
const BESIDE: u64 = 70 << 20;

#[test]
fn a_profile_that_unpacks_to_much_is_not_unpacked() {
    let mut file = Cursor::new(Vec::new());
    let mut encoder = PngEncoder::new(&mut file);
    encoder.set_icc_profile(vec![0; 200 << 20]).unwrap();
    encoder.write_image(&[0; 48], 4, 4, ExtendedColorType::Rgb8).unwrap();
    let bytes = file.into_inner();
    assert!(bytes.len() < 1 << 20, "{} bytes", bytes.len());
    let taken = peak(&bytes, 100_000_000);
    assert!(taken < BESIDE, "{taken} bytes");
}

#[test]
fn a_directory_that_claims_much_takes_nothing() {
    // One entry, of 6 million values in a file of 26 bytes. Its decoder would take 32 bytes for each.
    let mut bytes = b"II*\0\x08\0\0\0\x01\0\x11\x01\x04\0".to_vec();
    bytes.extend_from_slice(&6_000_000_u32.to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    let taken = peak(&bytes, 100_000_000);
    assert!(taken < 1 << 20, "{taken} bytes");
}

#[test]
fn sizes_that_lie_take_nothing() {
    for header in ["P6\n10000 10000\n255\n", "P5\n65535 1\n65535\n", "P4\n100000 1000\n"] {
        let taken = peak(header.as_bytes(), 1_000_000);
        assert!(taken < 2 << 20, "{header:?}: {taken} bytes");
    }
}

#[test]
fn the_fuzzers_seeds_are_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/decode");
    let mut seeds = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let outcome = decode(&bytes, &bytes, 1 << 18);
        seeds += 1;
        if path.ends_with("decoder-panics.jpg") {
            // Found by the fuzzer: the decoder panics where it computes with AVX2, and elsewhere makes a picture of it.
            let said = |error: &StageError| ["its decoder failed", "damaged"].iter().any(|word| error.message().contains(word));
            assert!(outcome.as_ref().err().is_none_or(said), "{outcome:?}");
            continue;
        }
        // Found by the fuzzer too; all others are whole pictures.
        assert_eq!(outcome.is_err(), path.ends_with("directory.tif"), "{}", path.display());
    }
    assert!(seeds > 20);
}
