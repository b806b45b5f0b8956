//! `metrics.jsonl`: every event as one line, written through at once, so that a killed run's figures are there.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use pipeline_contract::{Events, Fields};
use serde_json::{Value, json};

use super::progress::Progress;
use super::skipped::Quarantine;
use crate::engine::Control;

/// Receives the stages' figures: writes them down, shows them, and keeps what the summary needs.
pub(super) struct Metrics {
    started: Instant,
    control: Control,
    progress: Progress,
    quarantine: Option<Quarantine>,
    state: Mutex<State>,
}

struct State {
    file: File,
    /// The first failure to write; the run ends with it.
    failure: Option<io::Error>,
    kept: Kept,
}

/// What the summary is made of.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    /// The last `step` event.
    pub step: Fields,
    /// The last `eval` event.
    pub eval: Option<Fields>,
    /// The largest `device_bytes_peak` of all steps and evaluations.
    pub device_bytes_peak: Option<u64>,
    /// Entries that stages set themselves.
    pub entries: Fields,
}

impl Metrics {
    pub fn create(path: &Path, control: Control, progress: Progress, quarantine: Option<Quarantine>) -> io::Result<Self> {
        let state = State { file: File::create(path)?, failure: None, kept: Kept::default() };
        Ok(Self { started: Instant::now(), control, progress, quarantine, state: Mutex::new(state) })
    }

    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// What was kept, and the first failure to write.
    pub fn take(&self) -> (Kept, Option<io::Error>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
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
        let written = state.file.write_all(text.as_bytes());
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner).kept.entries.insert(key.into(), value);
    }

    fn announce(&self, stage: &str, samples: u64) {
        self.progress.announce(stage, samples);
    }
}
