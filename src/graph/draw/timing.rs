//! How long each stage of a run was busy, as drawings show it.

/// How long a stage was busy in a run; `summary.json` holds a list of these under `stages`.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Timing {
    /// The stage's id.
    pub stage: String,
    /// How many items it took (a source: gave).
    pub items: u64,
    /// Seconds of work, summed over the workers; waiting doesn't count.
    pub busy_seconds: f64,
}
