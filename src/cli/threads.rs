//! The pool of threads that computes: as many as the system gives. Without this, the first computation of a system that gives too few is a panic.

use std::num::NonZero;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

/// Threads that a run starts besides: one for each lane, for workers, checkpoints, signals and losses. They have errors of their own.
const OTHERS: usize = 4;

/// Starts the pool, with fewer threads where the system doesn't give one for each core. False where it gives none, which has been reported.
pub(super) fn start() -> bool {
    let wanted = match std::env::var("RAYON_NUM_THREADS").ok().and_then(|number| number.parse().ok()) {
        Some(0) | None => thread::available_parallelism().map_or(1, NonZero::get),
        Some(threads) => threads,
    };
    // A pool that failed to start can't be started again, so it is known before that it starts.
    let given = given(wanted + OTHERS);
    let threads = given.saturating_sub(OTHERS).clamp(1, wanted.max(1));
    if given > 0 && given < wanted + OTHERS {
        tracing::warn!("the system gives only {given} threads: {threads} of them compute, of {wanted} that could");
    }
    match rayon::ThreadPoolBuilder::new().num_threads(threads).build_global() {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(
                "the system gives no thread to compute on: {error}\n  help: raise the limit of processes (ulimit -u), or of the container (pids)"
            );
            false
        }
    }
}

/// How many threads of `wanted` can be started at once.
fn given(wanted: usize) -> usize {
    let (ended, wait) = mpsc::channel::<()>();
    let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
    let start = |_| {
        let wait = wait.clone();
        let waits = move || drop(wait.lock().map(|wait| wait.recv()));
        thread::Builder::new().spawn(waits).ok()
    };
    let threads: Vec<JoinHandle<()>> = (0..wanted).map_while(start).collect();
    drop(ended);
    let count = threads.len();
    // They only waited.
    threads.into_iter().for_each(|thread| drop(thread.join()));
    count
}

#[cfg(test)]
mod tests {
    use super::given;

    #[test]
    fn as_many_threads_are_given_as_there_are() {
        assert_eq!([0, 1, 7].map(given), [0, 1, 7]);
    }
}
