//! What the stages of a prediction or an evaluation report: progress, and the figures.

use std::sync::{Mutex, PoisonError};

use pipeline_contract::events::{EvalEvent, ImageEvent};
use pipeline_contract::{Event, Events};
use serde_json::{Map, Value};

use crate::run::Counter;

/// Counts photographs and keeps figures.
pub(super) struct Heard {
    pub counter: Counter,
    figures: Mutex<Figures>,
}

/// The figures of an evaluation.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    /// Of all images.
    pub eval: Option<EvalEvent>,
    /// Of each image, the worst first.
    pub images: Vec<ImageEvent>,
    /// Entries of a summary, such as the device's name.
    pub summary: Map<String, Value>,
}

impl Heard {
    /// Counts to `total`.
    pub fn new(total: u64, quiet: bool) -> Self {
        Self { counter: Counter::new(total, quiet), figures: Mutex::default() }
    }

    /// What was heard so far.
    pub fn take(&self) -> Figures {
        std::mem::take(&mut *self.figures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Events for Heard {
    fn record(&self, event: Event) {
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Predicted(predicted) => self.counter.count(&predicted.sample),
            Event::Eval(eval) => figures.eval = Some(eval),
            Event::Image(image) => figures.images.push(image),
            _ => {}
        }
    }

    fn summarize(&self, key: &str, value: Value) {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).summary.insert(key.to_owned(), value);
    }
}
