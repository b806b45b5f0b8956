//! Work that threads fetch item by item, each thread with its own scratch memory.

use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `items` work items on the current rayon threads: each thread fetches the next item when it finishes one, and passes
/// its own `size` values of `scratch` to each. The result of an item mustn't depend on what the scratch memory holds.
///
/// # Panics
/// When `scratch` is shorter than `size` for each thread.
pub(crate) fn each(items: usize, scratch: &mut [f32], size: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let threads = rayon::current_num_threads();
    assert!(scratch.len() >= threads * size, "{} values of workspace, not {}", scratch.len(), threads * size);
    let next = AtomicUsize::new(0);
    let drain = |own: &mut [f32]| {
        loop {
            let item = next.fetch_add(1, Ordering::Relaxed);
            if item >= items {
                break;
            }
            work(item, own);
        }
    };
    if threads.min(items) <= 1 {
        drain(&mut scratch[..size]);
    } else {
        scratch[..threads.min(items) * size].par_chunks_exact_mut(size).with_max_len(1).for_each(drain);
    }
}

/// Maximum results held on the stack.
const GROUP: usize = 64;

/// Computes each of `0..parts` exactly once, and adds up the results in order: the same sum for any number of threads.
pub(crate) fn sum<S: Copy + Default + Send>(parts: usize, part: impl Fn(usize) -> S + Sync, add: impl Fn(S, S) -> S) -> S {
    let (mut total, mut results) = (S::default(), [S::default(); GROUP]);
    for first in (0..parts).step_by(GROUP) {
        let results = &mut results[..GROUP.min(parts - first)];
        results.par_iter_mut().enumerate().for_each(|(index, result)| *result = part(first + index));
        total = results.iter().fold(total, |total, result| add(total, *result));
    }
    total
}
