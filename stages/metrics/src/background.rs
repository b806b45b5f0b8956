//! Computations beside the caller's thread, on rayon's pool: several at once within a limit of bytes, their results in order.
//! Knows nothing of what is computed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};

/// A number, the bytes of its computation, and the result, or the words of a panic.
type Done<T> = (u64, u64, Result<T, String>);

/// Computations under way and the results that haven't been taken.
#[derive(Debug)]
pub struct Background<T> {
    limit: u64,
    done: (Sender<Done<T>>, Receiver<Done<T>>),
    running: usize,
    bytes: u64,
    next: u64,
    finished: BTreeMap<u64, T>,
}

impl<T: Send + 'static> Background<T> {
    /// Nothing yet. What runs at once holds at most `limit` bytes together; a single computation may hold more.
    pub fn new(limit: u64) -> Self {
        Self { limit, done: channel(), running: 0, bytes: 0, next: 0, finished: BTreeMap::new() }
    }

    /// How many computations run at once at most.
    pub fn most() -> usize {
        rayon::current_num_threads()
    }

    /// Starts a computation that holds `bytes`; waits for others where there is no room.
    ///
    /// # Errors
    /// The words of another one's panic.
    pub fn start(&mut self, bytes: u64, compute: impl FnOnce() -> T + Send + 'static) -> Result<(), String> {
        while self.running > 0 && (self.running >= Self::most() || self.bytes.saturating_add(bytes) > self.limit) {
            self.wait()?;
        }
        let (number, say) = (self.next, self.done.0.clone());
        (self.next, self.running, self.bytes) = (self.next + 1, self.running + 1, self.bytes.saturating_add(bytes));
        rayon::spawn(move || {
            let words = |payload: Box<dyn std::any::Any + Send>| match (
                payload.downcast_ref::<String>(),
                payload.downcast_ref::<&str>(),
            ) {
                (Some(words), _) => words.clone(),
                (None, Some(words)) => (*words).to_owned(),
                (None, None) => "no reason was given".to_owned(),
            };
            let result = catch_unwind(AssertUnwindSafe(compute)).map_err(words);
            // Nobody listens any more where the caller has given up.
            let _ = say.send((number, bytes, result));
        });
        Ok(())
    }

    fn wait(&mut self) -> Result<(), String> {
        // This side holds a sender, so the channel can't have ended.
        let (number, bytes, result) = self.done.1.recv().map_err(|error| error.to_string())?;
        (self.running, self.bytes) = (self.running - 1, self.bytes - bytes);
        self.finished.insert(number, result?);
        Ok(())
    }

    /// Waits for all; the results that haven't been taken yet, in the order in which they were started.
    ///
    /// # Errors
    /// The words of a panic.
    pub fn finish(&mut self) -> Result<Vec<T>, String> {
        while self.running > 0 {
            self.wait()?;
        }
        Ok(std::mem::take(&mut self.finished).into_values().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_come_in_order_and_no_more_is_held_than_the_limit() {
        let (held, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut background = Background::new(10);
        for number in 0..40_u64 {
            let (held, most, bytes) = (held.clone(), most.clone(), 1 + number * 7 % 6);
            let compute = move || {
                most.fetch_max(held.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
                std::thread::sleep(Duration::from_micros(number * 37 % 300));
                held.fetch_sub(bytes, Ordering::SeqCst);
                number
            };
            assert_eq!(background.start(bytes, compute), Ok(()));
        }
        assert_eq!(background.finish(), Ok((0..40).collect()));
        assert_eq!(background.start(1000, || 7), Ok(()), "one alone may hold more");
        assert_eq!(background.finish(), Ok(vec![7]));
        assert!((1..=10).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    }

    #[test]
    fn a_panic_is_an_error_with_its_words() {
        let mut background = Background::<u8>::new(10);
        assert_eq!(background.start(1, || panic!("out of {}", "ink")), Ok(()));
        assert_eq!(background.finish(), Err("out of ink".to_owned()));
    }
}
