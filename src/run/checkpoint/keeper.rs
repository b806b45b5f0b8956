//! When a checkpoint is taken. A separate thread writes it, so that the device's lane waits only for the copy to host
//! memory. While one is being written no other is taken, but the best one waits for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pipeline_contract::events::CheckpointEvent;
use pipeline_contract::memory::{self, Side};
use pipeline_contract::{Events as _, Result, StageError, files};
use serde_json::Value;

use super::listing::{BEST, FOLDER, name, rotate};
use super::{Checkpoint, file};
use crate::engine::{Keeper, Moment, Snapshot};
use crate::run::metrics::Metrics;
use crate::spec::{Best, Checkpoints};

/// Takes the checkpoints of one run.
pub struct CheckpointKeeper {
    settings: Checkpoints,
    metrics: Arc<Metrics>,
    asked: Value,
    chosen: Vec<String>,
    state: Mutex<State>,
    busy: Arc<AtomicBool>,
    written: Arc<Mutex<Written>>,
    writer: Mutex<Option<Writer>>,
}

/// What decides when the next one is due.
struct State {
    last: Instant,
    step: u64,
    number: u64,
    /// The epoch of the last evaluation after which a best checkpoint was tried. One that couldn't be written isn't tried again.
    tried: Option<u64>,
    /// It was said that the evaluation doesn't give the metric of the best checkpoint.
    warned: bool,
}

/// The result of the last one.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// The newest file that is on the disk.
    pub path: Option<PathBuf>,
    /// Why the last one could not be written, if it couldn't.
    pub failure: Option<String>,
    /// The best evaluation's figure whose checkpoint is on the disk.
    best: Option<f64>,
}

struct Writer {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

struct Job {
    checkpoint: Checkpoint,
    step: u64,
    /// The best evaluation's figure, if this is after it.
    best: Option<f64>,
    copied: f64,
}

impl CheckpointKeeper {
    /// Starts the thread that writes into `checkpoint/` of the run's folder. Numbers continue after `number`; `best` is the best
    /// evaluation's figure so far.
    ///
    /// # Errors
    /// When the folder can't be made, or the thread not be started.
    pub fn start(
        run: &Path,
        settings: Checkpoints,
        metrics: Arc<Metrics>,
        (asked, chosen): (Value, Vec<String>),
        (number, best): (u64, Option<f64>),
    ) -> io::Result<Self> {
        let folder = run.join(FOLDER);
        fs::create_dir_all(&folder)?;
        files::sweep(&folder)?;
        let (busy, written) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Written { best, ..Written::default() })));
        let (jobs, received) = channel();
        let shared = (metrics.clone(), busy.clone(), written.clone());
        let keep = settings.keep;
        let thread = std::thread::Builder::new().name("checkpoint".into()).spawn(move || {
            let _side = memory::enter(Side::Host);
            write_all(&folder, keep, &received, &shared);
        });
        let thread =
            thread.map_err(|error| io::Error::new(error.kind(), format!("no thread can be started for it: {error}")))?;
        let state = Mutex::new(State { last: Instant::now(), step: metrics.step(), number, tried: None, warned: false });
        let writer = Mutex::new(Some(Writer { jobs, thread }));
        Ok(Self { settings, metrics, asked, chosen, state, busy, written, writer })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all is on the disk and says what became of the last one.
    pub fn finish(&self) -> Written {
        if let Some(Writer { jobs, thread }) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(jobs);
            if thread.join().is_err() {
                written(&self.written).failure.get_or_insert("the thread that writes it panicked".to_owned());
            }
        }
        written(&self.written).clone()
    }

    /// The last evaluation's figure, if it was better than all before whose checkpoints were written.
    fn is_best(&self, state: &State) -> Option<f64> {
        self.metrics.evaluated_epoch().filter(|&epoch| state.tried != Some(epoch))?;
        let Best { metric, direction, .. } = self.settings.best.as_ref()?;
        let figure = self.metrics.metric(metric)?;
        written(&self.written).best.is_none_or(|best| direction.is_better(figure, best)).then_some(figure)
    }

    /// Says once that there can be no best checkpoint: a metric that an evaluator declares may have no number on this data.
    fn warn_unmeasured(&self, state: &mut State) {
        let Some(Best { metric, .. }) = &self.settings.best else { return };
        if !state.warned
            && written(&self.written).best.is_none()
            && self.metrics.is_evaluated()
            && self.metrics.metric(metric).is_none()
        {
            state.warned = true;
            tracing::warn!(
                "the evaluation gives no {metric:?} here, so no best checkpoint is kept; name another metric in \
                 trainer.checkpoint.best.metric"
            );
        }
    }

    fn is_time(&self, state: &State) -> bool {
        let steps = self.metrics.step().saturating_sub(state.step);
        self.settings.every_steps.is_some_and(|every| steps >= every)
            || state.last.elapsed().as_secs_f64() >= 60.0 * self.settings.every_minutes
    }
}

fn written(written: &Mutex<Written>) -> MutexGuard<'_, Written> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper for CheckpointKeeper {
    fn due(&self, moment: Moment) -> bool {
        let mut state = self.state();
        self.warn_unmeasured(&mut state);
        if self.is_best(&state).is_some() {
            // The best weights are gone with the next step: this one waits for the one that is being written.
            while self.busy.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            return true;
        }
        moment != Moment::Running || (!self.busy.load(Ordering::SeqCst) && self.is_time(&state))
    }

    fn keep(&self, snapshot: Snapshot, _: Moment, copied: f64) -> Result<()> {
        let _host = memory::enter(Side::Host);
        let mut state = self.state();
        let best = self.is_best(&state);
        if best.is_some() {
            state.tried = self.metrics.evaluated_epoch();
        }
        (state.last, state.step) = (Instant::now(), self.metrics.step());
        state.number += 1;
        let checkpoint = Checkpoint {
            snapshot,
            mark: self.metrics.mark(),
            asked: self.asked.clone(),
            chosen: self.chosen.clone(),
            best,
            best_of: self.settings.best.clone(),
            number: state.number,
        };
        drop(state);
        self.busy.store(true, Ordering::SeqCst);
        let job = Job { checkpoint, step: self.metrics.step(), best, copied };
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = || StageError::new("the thread that writes checkpoints has ended");
        writer.as_ref().ok_or_else(gone)?.jobs.send(job).map_err(|_| gone())
    }
}

fn write_all(
    folder: &Path,
    keep: u64,
    jobs: &Receiver<Job>,
    (metrics, busy, outcome): &(Arc<Metrics>, Arc<AtomicBool>, Arc<Mutex<Written>>),
) {
    for mut job in jobs {
        // Only here it is known which best one the disk holds: the one before may just have been written.
        job.checkpoint.best = job.best.or(written(outcome).best);
        let started = Instant::now();
        // What a checkpoint says of the figures must be on the disk before it is.
        let result = metrics.sync().and_then(|()| write(folder, keep, &job));
        match result {
            Ok((path, bytes)) => {
                let seconds = started.elapsed().as_secs_f64();
                let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let event = CheckpointEvent { file, step: job.step, bytes, copy_seconds: job.copied, write_seconds: seconds };
                metrics.record(event.into());
                tracing::debug!("checkpoint {} of {bytes} bytes in {seconds:.2} s", path.display());
                let mut outcome = written(outcome);
                *outcome = Written { path: Some(path), failure: None, best: job.best.or(outcome.best) };
            }
            Err(error) => {
                let message = format!("a checkpoint can't be written into {}: {error}", folder.display());
                tracing::warn!("{message}; the run continues and tries again later");
                written(outcome).failure = Some(message);
            }
        }
        busy.store(false, Ordering::SeqCst);
    }
}

/// Writes what a job asks for. The oldest goes only when the new one is there.
fn write(folder: &Path, keep: u64, job: &Job) -> io::Result<(PathBuf, u64)> {
    let path = folder.join(name(job.checkpoint.number, job.step));
    // The best one first: a checkpoint that says which figure is the best must never be there without it.
    let first = if job.best.is_some() { folder.join(BEST) } else { path.clone() };
    let bytes = file::write(&first, &job.checkpoint)?;
    if job.best.is_some() {
        // A hard link, or a copy if the file system has none.
        let linked = |beside: &Path| fs::hard_link(&first, beside).or_else(|_| fs::copy(&first, beside).map(drop));
        files::replace_by(&path, linked)?;
    }
    rotate(folder, keep)?;
    Ok((path, bytes))
}
