//! What an evaluator measures: the names of its figures, and which way is better.
//! The figures themselves are in `eval` events.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which way a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The larger, the better: accuracies, overlaps.
    Max,
    /// The smaller, the better: losses, distances.
    Min,
}

impl Direction {
    /// The names in pipeline files.
    pub const NAMES: &[&str] = &["max", "min"];

    /// The direction of a name in a pipeline file.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Max, Self::Min].into_iter().find(|direction| direction.name() == name)
    }

    /// Its name in pipeline files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Max => "max",
            Self::Min => "min",
        }
    }

    /// True when `value` is better than `best`. NaN is never better.
    pub fn is_better(self, value: f64, best: f64) -> bool {
        match self {
            Self::Max => value > best,
            Self::Min => value < best,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One figure that an evaluator reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name in `eval` events and in pipeline files.
    pub name: &'static str,
    /// Which way is better.
    pub direction: Direction,
    /// What progress and the end of a run call it; `None`: it is only in the files.
    pub label: Option<&'static str>,
}

impl Metric {
    /// A metric of which more is better.
    pub const fn max(name: &'static str) -> Self {
        Self { name, direction: Direction::Max, label: None }
    }

    /// A metric of which less is better.
    pub const fn min(name: &'static str) -> Self {
        Self { name, direction: Direction::Min, label: None }
    }

    /// Also shows it to people, under this name.
    #[must_use]
    pub const fn shown_as(mut self, label: &'static str) -> Self {
        self.label = Some(label);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direction_decides_which_is_better() {
        assert!(Direction::Max.is_better(2.0, 1.0) && !Direction::Max.is_better(1.0, 1.0));
        assert!(Direction::Min.is_better(1.0, 2.0) && !Direction::Min.is_better(1.0, 1.0));
        for direction in [Direction::Max, Direction::Min] {
            assert!(!direction.is_better(f64::NAN, 1.0));
            assert_eq!(Direction::named(direction.name()), Some(direction));
            assert!(Direction::NAMES.contains(&direction.name()));
        }
    }
}
