//! Work that threads fetch piece by piece, each with scratch memory of its own.

use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does `items` pieces of work on the current rayon threads: each thread fetches the next piece when it is done with one,
/// and hands `size` values of `scratch`, its own, to each. What a piece computes mustn't depend on what is in there.
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
