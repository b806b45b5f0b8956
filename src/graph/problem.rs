//! What is wrong with a graph, by position in the list of stages. The file's reader turns positions into lines.

use pipeline_contract::Severity;

/// Where a problem points, by the stage's position in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The stage's `id`.
    Id(usize),
    /// The stage's `use`.
    Use(usize),
    /// The k-th entry of the stage's `needs` (or its `id`, where the need was implied by the order).
    Need(usize, usize),
    /// The stage's `workers`.
    Workers(usize),
    /// The stage's `bound`.
    Bound(usize),
}

/// Something wrong with the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where it points.
    pub place: Place,
    /// What is wrong, a lowercase fragment.
    pub message: String,
    /// How to fix it.
    pub help: Option<String>,
}

impl Problem {
    /// A problem that keeps the pipeline from running.
    pub fn error(place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, place, message: message.into(), help: None }
    }

    /// Adds how to fix it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
