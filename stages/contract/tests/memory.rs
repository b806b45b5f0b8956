//! The counting allocator as a program's allocator: what it counts, on which side, and that blocks stay correct.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![expect(unsafe_code, reason = "over-aligned and resized blocks are asked for as the standard library asks for them")]

use std::alloc::{GlobalAlloc, Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pipeline_contract::memory::{CountingAllocator, Side, THRESHOLD, Usage, enter, reset_peak, return_unused, side, usage};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The counts are the whole program's, so tests take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the device's side holds. Nothing of the test harness counts there.
fn device() -> Usage {
    drop(vec![0u8; THRESHOLD]);
    usage(Side::Device).unwrap()
}

fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

#[test]
fn a_block_is_taken_off_the_side_that_allocated_it() {
    let _turn = alone();
    let before = device().now;
    let _side = enter(Side::Device);
    let block = vec![1u8; 100_000];
    assert_eq!(device().now, before + 100_000);
    std::thread::spawn(move || {
        assert_eq!(side(), Side::Host, "a new thread begins on the host's side");
        drop(block);
    })
    .join()
    .unwrap();
    assert_eq!(device().now, before);
}

#[test]
fn sides_nest_and_do_not_mix() {
    let _turn = alone();
    let before = device().now;
    let host = vec![1u8; 1 << 20];
    assert_eq!((side(), device().now), (Side::Host, before));
    assert!(usage(Side::Host).unwrap().now >= 1 << 20);
    {
        let _outer = enter(Side::Device);
        {
            let _inner = enter(Side::Host);
            assert_eq!(side(), Side::Host);
        }
        assert_eq!(side(), Side::Device);
        drop(host);
        assert_eq!(device().now, before);
    }
    assert_eq!(side(), Side::Host);
}

#[test]
fn the_peak_stays_until_it_is_reset() {
    let _turn = alone();
    let _side = enter(Side::Device);
    let kept = vec![1u8; 50_000];
    reset_peak(Side::Device);
    let start = device();
    assert_eq!((start.now, start.peak), (start.now, start.now + THRESHOLD as u64), "`device` allocates once itself");
    drop(vec![1u8; 3 << 20]);
    let after = device();
    assert_eq!((after.now, after.peak), (start.now, start.now + (3 << 20)));
    drop(kept);
    assert_eq!(device().peak, after.peak);
    reset_peak(Side::Device);
    assert_eq!(usage(Side::Device).map(|usage| usage.peak), Some(start.now - 50_000));
}

#[test]
fn small_blocks_are_not_counted() {
    let _turn = alone();
    let _side = enter(Side::Device);
    let before = device().now;
    let (small, large) = (vec![1u8; THRESHOLD - 1], vec![1u8; THRESHOLD]);
    assert_eq!(device().now, before + THRESHOLD as u64);
    drop((small, large));
    assert_eq!(device().now, before);
}

/// Through every pair of sizes around the threshold, for usual and unusual alignments.
#[test]
fn a_resized_block_keeps_content_alignment_and_count() {
    let _turn = alone();
    let side = enter(Side::Device);
    let before = device().now;
    let sizes = [1, 1000, THRESHOLD - 1, THRESHOLD, THRESHOLD + 1, 100_000, 5 << 20];
    for align in [1, 16, 64, 128, 4096, 1 << 16] {
        for from in sizes {
            for to in sizes {
                let counted = |size: usize| before + if size < THRESHOLD { 0 } else { size as u64 };
                let (layout, new) =
                    (Layout::from_size_align(from, align).unwrap(), Layout::from_size_align(to, align).unwrap());
                // SAFETY: sizes are above zero, and all accesses are inside the block of the size just asked for.
                unsafe {
                    let block = alloc(layout);
                    assert!(!block.is_null() && block.addr().is_multiple_of(align));
                    assert_eq!(usage(Side::Device).unwrap().now, counted(from));
                    (0..from).for_each(|at| block.add(at).write(byte(at)));
                    let block = realloc(block, layout, to);
                    assert!(!block.is_null() && block.addr().is_multiple_of(align));
                    assert_eq!(usage(Side::Device).unwrap().now, counted(to), "from {from} to {to} aligned to {align}");
                    assert!((0..from.min(to)).all(|at| block.add(at).read() == byte(at)));
                    block.write_bytes(7, to);
                    dealloc(block, new);
                }
                assert_eq!(usage(Side::Device).unwrap().now, before);
            }
        }
    }
    drop(side);
}

#[test]
fn a_block_that_grows_elsewhere_stays_on_its_side() {
    let _turn = alone();
    let before = device().now;
    let mut block: Vec<u8> = {
        let _side = enter(Side::Device);
        vec![1; 100_000]
    };
    block.reserve_exact(100_000);
    assert_eq!(device().now, before + 200_000);
    block.truncate(THRESHOLD);
    block.shrink_to_fit();
    assert_eq!(device().now, before + THRESHOLD as u64);
    drop(block);
    assert_eq!(device().now, before);
}

#[test]
fn zeroed_blocks_are_zero_and_aligned() {
    let _turn = alone();
    for align in [1, 16, 64, 4096, 1 << 16] {
        for size in [100, THRESHOLD, THRESHOLD + 5, 3 << 20] {
            let layout = Layout::from_size_align(size, align).unwrap();
            // The second round gets memory that the first one wrote to.
            for _ in 0..2 {
                // SAFETY: the size is above zero, and all accesses are inside the block.
                unsafe {
                    let block = alloc_zeroed(layout);
                    assert!(!block.is_null() && block.addr().is_multiple_of(align));
                    assert!(std::slice::from_raw_parts(block, size).iter().all(|&byte| byte == 0));
                    block.write_bytes(0xff, size);
                    dealloc(block, layout);
                }
            }
        }
    }
}

#[test]
fn a_block_larger_than_any_address_space_is_refused() {
    let _turn = alone();
    let before = device().now;
    let _side = enter(Side::Device);
    // The header doesn't fit behind the largest layout there is.
    let layout = Layout::from_size_align(isize::MAX as usize - 10, 1).unwrap();
    // SAFETY: the sizes are above zero; what is refused is not used, and the block that is not resized stays valid.
    unsafe {
        assert!(ALLOCATOR.alloc(layout).is_null());
        assert!(ALLOCATOR.alloc_zeroed(layout).is_null());
        let small = Layout::from_size_align(100_000, 1).unwrap();
        let block = alloc(small);
        assert!(ALLOCATOR.realloc(block, small, layout.size()).is_null());
        assert_eq!(device().now, before + 100_000);
        dealloc(block, small);
    }
    assert_eq!(device().now, before);
}

#[test]
fn unused_memory_goes_back_where_the_system_takes_it() {
    assert_eq!(return_unused(), cfg!(all(target_os = "linux", target_env = "gnu")));
}
