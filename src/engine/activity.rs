//! Which stage works on which sample, and since when: entered by the lanes, read by the watch when nothing moves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::Instant;

/// Which stages are working. Where a stage calls another one on its thread, the one that entered last is working.
#[derive(Debug, Default)]
pub struct Activity(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    at_work: BTreeMap<u64, Work>,
}

/// What one stage works on.
#[derive(Debug, Clone)]
pub struct Work {
    thread: ThreadId,
    /// The stage's id.
    pub stage: Arc<str>,
    /// The sample's id, where it works on one.
    pub sample: Option<String>,
    /// When it began.
    pub since: Instant,
}

/// A stage is working until this is dropped.
pub struct Working<'a>(&'a Activity, u64);

impl Activity {
    /// A stage begins to work, on a sample where it has one.
    pub fn enter(&self, stage: &str, sample: Option<&str>) -> Working<'_> {
        let mut state = self.state();
        state.next += 1;
        let number = state.next;
        let (thread, since) = (std::thread::current().id(), Instant::now());
        state.at_work.insert(number, Work { thread, stage: stage.into(), sample: sample.map(Into::into), since });
        Working(self, number)
    }

    /// The innermost stage of each thread, the one that has worked longest first.
    pub fn working(&self) -> Vec<Work> {
        let mut innermost: Vec<Work> = Vec::new();
        for work in self.state().at_work.values().rev() {
            if !innermost.iter().any(|other| other.thread == work.thread) {
                innermost.push(work.clone());
            }
        }
        innermost.sort_by_key(|work| work.since);
        innermost
    }

    /// Each entry is whole, so a panic elsewhere leaves them usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.state().at_work.remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_stage_of_a_thread_is_the_one_that_works() {
        let activity = Activity::default();
        let _outer = activity.enter("train", Some("a"));
        {
            let _inner = activity.enter("accum", None);
            assert_eq!(activity.working().iter().map(|work| &*work.stage).collect::<Vec<_>>(), ["accum"]);
        }
        let working = activity.working();
        assert_eq!((working.len(), &*working[0].stage, working[0].sample.as_deref()), (1, "train", Some("a")));
    }
}
