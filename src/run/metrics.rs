//! `metrics.jsonl`: every event as one line, written through at once, so that a killed run's figures are there.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pipeline_contract::{Events, Fields};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::progress::Progress;
use super::skipped::Quarantine;
use crate::engine::Control;

/// Receives the stages' figures: writes them down, shows them, and keeps what the summary needs.
pub(super) struct Metrics {
    started: Instant,
    /// Seconds that the run had taken before it was stopped and went on.
    before: f64,
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
}

/// What the summary is made of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The last `step` event.
    pub step: Fields,
    /// The last `eval` event.
    pub eval: Option<Fields>,
    /// The largest `device_bytes_peak` of all steps and evaluations.
    pub device_bytes_peak: Option<u64>,
    /// Entries that stages set themselves.
    pub entries: Fields,
}

/// How far the figures of a run were written, and what its summary needs of them: where they go on after a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Bytes of `metrics.jsonl`.
    pub bytes: u64,
    /// Seconds since the start, without those between a stop and going on.
    pub seconds: f64,
    /// How often the run has gone on.
    pub resumes: u64,
    /// What the summary is made of.
    pub kept: Kept,
}

impl Metrics {
    /// Figures of a run from its beginning, or from where they went on at a checkpoint: what was written after it is cut off, since
    /// it will be written again.
    pub fn open(
        path: &Path,
        mark: &Mark,
        control: Control,
        progress: Progress,
        quarantine: Option<Quarantine>,
    ) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        // A file that lost its end with the system's power keeps what it has.
        let bytes = mark.bytes.min(file.metadata()?.len());
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(bytes))?;
        let state = State { file, bytes, failure: None, kept: mark.kept.clone() };
        let (started, before) = (Instant::now(), mark.seconds);
        Ok(Self { started, before, control, progress, resumes: mark.resumes, quarantine, state: Mutex::new(state) })
    }

    /// Seconds that the run has taken, without those between a stop and going on.
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
        self.state().kept.step.get("step").and_then(Value::as_u64).unwrap_or(0)
    }

    /// The test Dice of the last evaluation.
    pub fn dice(&self) -> Option<f64> {
        self.state().kept.eval.as_ref()?.get("dice")?.as_f64()
    }

    /// What was kept, and the first failure to write.
    pub fn take(&self) -> (Kept, Option<io::Error>) {
        let mut state = self.state();
        (state.kept.clone(), state.failure.take())
    }

    pub fn progress(&self) -> &Progress {
        &self.progress
    }
}

impl Events for Metrics {
    fn record(&self, event: &str, fields: Fields) {
        let seconds = (self.seconds() * 1e6).round() / 1e6;
        let mut line = Fields::from_iter([("event".to_owned(), json!(event)), ("seconds".to_owned(), json!(seconds))]);
        line.extend(fields);
        let mut state = self.state();
        match event {
            "step" => {
                if let Some((now, peak)) = self.control.host_bytes() {
                    line.insert("host_bytes".into(), json!(now));
                    line.insert("host_bytes_peak".into(), json!(peak));
                    let held = self.control.host_by_cause().into_iter().map(|(cause, bytes)| (cause, json!(bytes)));
                    line.insert("host_by_cause".into(), Value::Object(held.collect()));
                }
                state.kept.step = line.clone();
            }
            "eval" => state.kept.eval = Some(line.clone()),
            _ => {}
        }
        let peak = line.get("device_bytes_peak").and_then(Value::as_u64);
        state.kept.device_bytes_peak = state.kept.device_bytes_peak.max(peak);
        let mut text = Value::Object(line.clone()).to_string();
        text.push('\n');
        let written = match state.file.write_all(text.as_bytes()) {
            Ok(()) => {
                state.bytes += text.len() as u64;
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
            Some(quarantine) if event == "sample_skipped" => quarantine.write(),
            _ => Ok(()),
        };
        if let Err(error) = written.and(listed) {
            // Figures that can't be kept end the run: it would be worth nothing afterwards.
            state.failure.get_or_insert(error);
            self.control.drain();
        }
        drop(state);
        self.progress.event(event, &line);
    }

    fn summarize(&self, key: &str, value: Value) {
        self.state().kept.entries.insert(key.into(), value);
    }

    fn announce(&self, stage: &str, samples: u64) {
        self.progress.announce(stage, samples);
    }
}
