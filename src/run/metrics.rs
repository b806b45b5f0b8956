//! `metrics.jsonl`: every event as one line, written through at once, so that a killed run's figures are there.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pipeline_contract::events::{EvalEvent, Line, StepEvent};
use pipeline_contract::{Event, Events, Fields};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::followed::Followed;
use super::progress::Progress;
use super::skipped::Quarantine;
use super::warned::Warned;
use crate::engine::Control;
use crate::spec::{EarlyStopping, Settings};

/// Receives the stages' figures: writes them down, shows them, and keeps what the summary needs.
pub(super) struct Metrics {
    started: Instant,
    /// Seconds that the run had taken before it was stopped and resumed.
    before: f64,
    stopping: Option<EarlyStopping>,
    control: Control,
    progress: Progress,
    resumes: u64,
    quarantine: Option<Quarantine>,
    state: Mutex<State>,
}

struct State {
    file: File,
    /// Bytes that were written.
    bytes: u64,
    /// The first failure to write; the run ends with it.
    failure: Option<io::Error>,
    kept: Kept,
    warned: Warned,
}

/// What the summary is made of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The last step; `None` before the first.
    #[serde(default, deserialize_with = "last_step")]
    pub step: Option<StepEvent>,
    /// The line of the last evaluation; of several evaluators, of the one that decides which checkpoint is the best.
    pub eval: Option<Line>,
    /// The evaluations that the end of the run needs.
    #[serde(default)]
    pub followed: Followed,
    /// The largest `device_bytes_peak` of all steps and evaluations.
    pub device_bytes_peak: Option<u64>,
    /// Entries that stages set themselves.
    pub entries: Fields,
}

/// In checkpoints of earlier programs no step is an object without fields.
fn last_step<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StepEvent>, D::Error> {
    match Option::<Fields>::deserialize(deserializer)? {
        Some(fields) if !fields.is_empty() => StepEvent::deserialize(Value::Object(fields)).map(Some).map_err(D::Error::custom),
        _ => Ok(None),
    }
}

impl Kept {
    /// The last step's number.
    pub fn steps(&self) -> u64 {
        self.step.as_ref().map_or(0, |step| step.step)
    }

    /// Samples that were trained on.
    pub fn samples(&self) -> u64 {
        self.step.as_ref().map_or(0, |step| step.samples)
    }

    /// The figures of the last evaluation.
    pub fn evaluation(&self) -> Option<&EvalEvent> {
        self.eval.as_ref()?.evaluation()
    }

    fn see(&mut self, line: &Line, min_delta: f64) {
        let peak = match &line.event {
            Event::Step(step) => self.step.insert(step.clone()).device_bytes_peak,
            Event::Eval(eval) => {
                self.followed.see(line, min_delta);
                self.eval = self.followed.last().cloned();
                eval.device_bytes_peak
            }
            _ => None,
        };
        self.device_bytes_peak = self.device_bytes_peak.max(peak);
    }
}

/// How far the figures of a run were written, and what its summary needs of them: where they continue after a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Bytes of `metrics.jsonl`.
    pub bytes: u64,
    /// Seconds since the start, without those between a stop and `--resume`.
    pub seconds: f64,
    /// How often the run has resumed.
    pub resumes: u64,
    /// What the summary is made of.
    pub kept: Kept,
}

impl Metrics {
    /// Figures of a run from its start, or from a checkpoint: what was written after that is cut off, since
    /// it will be written again. The settings say which evaluation is the best, and how many that are no better end the run.
    pub fn open(
        path: &Path,
        mark: &Mark,
        control: Control,
        progress: Progress,
        quarantine: Option<Quarantine>,
        warned: Warned,
        settings: &Settings,
    ) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        // A file that lost its end with the system's power keeps what it has.
        let bytes = mark.bytes.min(file.metadata()?.len());
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(bytes))?;
        let mut kept = mark.kept.clone();
        kept.followed.follow(settings.checkpoints.best.as_ref());
        let stopping = settings.early_stopping;
        end_early(&kept, stopping, &control);
        let state = State { file, bytes, failure: None, kept, warned };
        let (started, before) = (Instant::now(), mark.seconds);
        Ok(Self { started, before, stopping, control, progress, resumes: mark.resumes, quarantine, state: Mutex::new(state) })
    }

    /// Seconds that the run has taken, without those between a stop and `--resume`.
    pub fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the figures are.
    pub fn mark(&self) -> Mark {
        let state = self.state();
        Mark { bytes: state.bytes, seconds: self.seconds(), resumes: self.resumes, kept: state.kept.clone() }
    }

    /// Puts what was written on the disk.
    pub fn sync(&self) -> io::Result<()> {
        // The disk is waited for without the lock, so that no step waits.
        let file = self.state().file.try_clone()?;
        file.sync_data()
    }

    /// The last step's number.
    pub fn step(&self) -> u64 {
        self.state().kept.steps()
    }

    /// A metric of the last evaluation; `None` where that has none of this name, or no number for it.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.state().kept.evaluation()?.metric(name)
    }

    /// What evaluators measured in the best epoch so far.
    pub fn best_evaluations(&self) -> Option<Vec<EvalEvent>> {
        let state = self.state();
        let best = state.kept.followed.best()?;
        Some(best.lines.iter().filter_map(|line| line.evaluation().cloned()).collect())
    }

    /// The epoch of the last evaluation that decides; `None` without one, or if a step has changed the weights since.
    pub fn evaluated_epoch(&self) -> Option<u64> {
        let state = self.state();
        let epoch = state.kept.evaluation()?.epoch;
        state.kept.step.as_ref().is_none_or(|step| step.epoch <= epoch).then_some(epoch)
    }

    /// Whether there was an evaluation.
    pub fn is_evaluated(&self) -> bool {
        self.state().kept.evaluation().is_some()
    }

    /// What was kept, and the first failure to write.
    pub fn take(&self) -> (Kept, Option<io::Error>) {
        let mut state = self.state();
        (state.kept.clone(), state.failure.take())
    }

    /// What stages warned of.
    pub fn warned(&self) -> Warned {
        self.state().warned.clone()
    }

    pub fn progress(&self) -> &Progress {
        &self.progress
    }
}

/// Ends the run after the epoch in which its patience was used up, if it was.
fn end_early(kept: &Kept, stopping: Option<EarlyStopping>, control: &Control) {
    if let Some(epoch) = stopping.and_then(|stopping| kept.followed.ends(stopping)) {
        control.end_after(epoch);
    }
}

impl Events for Metrics {
    fn record(&self, mut event: Event) {
        let seconds = (self.seconds() * 1e6).round() / 1e6;
        if let (Event::Step(step), Some((now, peak))) = (&mut event, self.control.host_bytes()) {
            (step.host_bytes, step.host_bytes_peak) = (Some(now), Some(peak));
            step.host_by_cause = Some(self.control.host_by_cause().into_iter().collect());
        }
        let line = Line { seconds, event };
        let mut state = self.state();
        if let Event::Warning(warning) = &line.event
            && !state.warned.see(warning)
        {
            return;
        }
        state.kept.see(&line, self.stopping.map_or(0.0, |stopping| stopping.min_delta));
        end_early(&state.kept, self.stopping, &self.control);
        let text = serde_json::to_string(&line).map(|text| text + "\n").map_err(io::Error::from);
        let written = match text.and_then(|text| state.file.write_all(text.as_bytes()).map(|()| text.len())) {
            Ok(bytes) => {
                state.bytes += bytes as u64;
                Ok(())
            }
            Err(error) => {
                // Half a line goes.
                let bytes = state.bytes;
                let _the_disk_is_full = state.file.set_len(bytes).and_then(|()| state.file.seek(SeekFrom::Start(bytes)));
                Err(error)
            }
        };
        let listed = match &self.quarantine {
            Some(quarantine) if matches!(line.event, Event::SampleSkipped(_)) => quarantine.write(),
            _ => Ok(()),
        };
        if let Err(error) = written.and(listed) {
            // Figures that can't be written end the run: it would be worthless without them.
            state.failure.get_or_insert(error);
            self.control.drain();
        }
        drop(state);
        self.progress.event(&line.event);
    }

    fn summarize(&self, key: &str, value: Value) {
        self.state().kept.entries.insert(key.into(), value);
    }

    fn announce(&self, stage: &str, samples: u64) {
        self.progress.announce(stage, samples);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What a checkpoint holds of the figures, as programs wrote it before events had types.
    #[test]
    fn what_earlier_programs_kept_is_read() {
        let causes = json!({"weights": 5});
        let step = json!({
            "event": "step", "seconds": 0.2, "epoch": 1, "step": 7, "samples": 28, "loss": 1.5, "lr": 0.004, "grad_norm": 1.25,
            "loss_scale": 1.0, "skipped": false, "device_bytes": 5, "device_bytes_peak": 9, "device_by_cause": causes,
            "device_peak_by_cause": causes, "device_peak_place": "head backward", "host_bytes": 3, "host_bytes_peak": 4,
            "host_by_cause": {"in work": 3},
        });
        let eval = json!({"event": "eval", "seconds": 0.5, "epoch": 1, "dice": 0.5, "images": 8, "device_bytes_peak": 9});
        let kept: Kept =
            serde_json::from_value(json!({"step": step, "eval": eval, "device_bytes_peak": 9, "entries": {}})).unwrap();
        assert_eq!((kept.steps(), kept.samples()), (7, 28));
        assert_eq!(kept.evaluation().unwrap().metric("dice"), Some(0.5));
        assert_eq!(serde_json::to_value(&kept.eval).unwrap(), eval, "the summary has the line unchanged");
        let none: Kept =
            serde_json::from_value(json!({"step": {}, "eval": null, "device_bytes_peak": null, "entries": {}})).unwrap();
        assert_eq!((none.steps(), none.evaluation()), (0, None));
        for kept in [kept, none] {
            let again = serde_json::from_str::<Kept>(&serde_json::to_string(&kept).unwrap()).unwrap();
            assert_eq!(again, kept);
        }
    }
}
