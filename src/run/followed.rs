//! The evaluations of a run, as far as its end needs them: the last of each evaluator, and those of the best epoch. Which epoch is
//! the best is decided by one metric of one evaluator ([`Best`]); the others' figures are those of that same epoch, never their own best.

use pipeline_contract::events::{EvalEvent, Line};
use serde::{Deserialize, Serialize};

use crate::spec::Best;

/// What was seen of the evaluations so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Followed {
    /// What decides; `None` before a run has said so, or where nothing does.
    of: Option<Best>,
    /// The last line of each evaluator, in the order in which they first came.
    last: Vec<Line>,
    /// The best epoch.
    best: Option<BestEpoch>,
}

/// The epoch whose evaluation is the best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BestEpoch {
    /// The epoch, from 1.
    pub epoch: u64,
    /// The figure that it is the best by.
    #[serde(with = "bits")]
    pub value: f64,
    /// The lines of all evaluators in that epoch.
    pub lines: Vec<Line>,
}

/// A float to the last bit: JSON's own numbers may lose it.
mod bits {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

fn stage(line: &Line) -> &str {
    line.evaluation().map_or("", |eval| &eval.stage)
}

/// Puts a line in the place of the earlier one of the same evaluator, or at the end.
fn put(lines: &mut Vec<Line>, line: &Line) {
    match lines.iter_mut().find(|other| stage(other) == stage(line)) {
        Some(other) => *other = line.clone(),
        None => lines.push(line.clone()),
    }
}

impl Followed {
    /// From now on `of` decides. Figures of another metric or another evaluator say nothing about it, so they are forgotten.
    pub fn follow(&mut self, of: Option<&Best>) {
        if !self.of.as_ref().zip(of).is_some_and(|(then, now)| then.is_like(now)) {
            self.best = None;
        }
        self.of = of.cloned();
    }

    /// Whether an evaluation is one of those that decide.
    fn decides(&self, eval: &EvalEvent) -> bool {
        let Some(of) = &self.of else { return false };
        // An evaluator of one's own needn't say which one it is.
        eval.stage.is_empty() || of.of.as_ref().is_none_or(|stage| *stage == eval.stage)
    }

    /// An evaluation has ended.
    pub fn see(&mut self, line: &Line) {
        let Some(eval) = line.evaluation() else { return };
        put(&mut self.last, line);
        if self.decides(eval) {
            let figure = self.of.as_ref().and_then(|of| Some((of.direction, eval.metric(&of.metric)?)));
            let Some((direction, value)) = figure else { return };
            if self.best.as_ref().is_none_or(|best| direction.is_better(value, best.value)) {
                let same = |line: &&Line| line.evaluation().is_some_and(|other| other.epoch == eval.epoch);
                let lines = self.last.iter().filter(same).cloned().collect();
                self.best = Some(BestEpoch { epoch: eval.epoch, value, lines });
                return;
            }
        }
        if let Some(best) = self.best.as_mut().filter(|best| best.epoch == eval.epoch) {
            put(&mut best.lines, line);
        }
    }

    /// The last line of the evaluator that decides, or of any where none does.
    pub fn last(&self) -> Option<&Line> {
        let decides = |line: &&Line| line.evaluation().is_some_and(|eval| self.decides(eval));
        self.last.iter().find(decides).or_else(|| self.last.last())
    }

    /// The last line of each evaluator.
    pub fn all(&self) -> &[Line] {
        &self.last
    }

    /// The best epoch so far.
    pub fn best(&self) -> Option<&BestEpoch> {
        self.best.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use pipeline_contract::Direction;

    use super::*;

    fn best(metric: &str, of: &str) -> Best {
        Best { metric: metric.to_owned(), direction: Direction::Max, of: Some(of.to_owned()) }
    }

    fn line(stage: &str, epoch: u64, dice: Option<f64>) -> Line {
        let metrics = [("dice", dice)].into_iter().collect();
        Line { seconds: 0.0, event: EvalEvent { epoch, stage: stage.to_owned(), metrics, ..EvalEvent::default() }.into() }
    }

    fn of_best(followed: &Followed) -> (u64, f64, Vec<(String, f64)>) {
        let best = followed.best().unwrap();
        let figure = |line: &Line| {
            let eval = line.evaluation().unwrap();
            assert_eq!(eval.epoch, best.epoch);
            (eval.stage.clone(), eval.metric("dice").unwrap())
        };
        (best.epoch, best.value, best.lines.iter().map(figure).collect())
    }

    #[test]
    fn the_other_figures_are_those_of_the_best_epoch() {
        for order in [["validate", "test"], ["test", "validate"]] {
            let mut followed = Followed::default();
            followed.follow(Some(&best("dice", "validate")));
            for (epoch, validate, test) in [(1, 0.5, 0.4), (2, 0.7, 0.6), (3, 0.6, 0.9)] {
                for stage in order {
                    followed.see(&line(stage, epoch, Some(if stage == "test" { test } else { validate })));
                }
            }
            let (epoch, value, mut figures) = of_best(&followed);
            figures.sort_by(|a, b| a.0.cmp(&b.0));
            assert_eq!((epoch, value), (2, 0.7));
            assert_eq!(figures, [("test".to_owned(), 0.6), ("validate".to_owned(), 0.7)], "not the test's own best");
            assert_eq!(followed.last(), Some(&line("validate", 3, Some(0.6))));
            let text = serde_json::to_string(&followed).unwrap();
            assert_eq!(serde_json::from_str::<Followed>(&text).unwrap(), followed);
        }
    }

    #[test]
    fn what_is_no_number_is_never_the_best_and_another_metric_starts_anew() {
        let mut followed = Followed::default();
        followed.follow(Some(&best("dice", "validate")));
        followed.see(&line("validate", 1, None));
        followed.see(&line("validate", 2, Some(f64::NAN)));
        assert_eq!(followed.best(), None);
        followed.see(&line("validate", 3, Some(0.1 + 0.2)));
        assert_eq!(of_best(&followed).1, 0.1 + 0.2);
        followed.follow(Some(&Best { of: None, ..best("dice", "") }));
        assert!(followed.best().is_some(), "the same, said less exactly");
        followed.follow(Some(&best("dice", "validate")));
        assert!(followed.best().is_some(), "and exactly again");
        followed.follow(Some(&best("dice", "test")));
        assert_eq!(followed.best(), None);
        followed.follow(None);
        followed.see(&line("test", 4, Some(1.0)));
        assert_eq!((followed.best(), followed.last()), (None, Some(&line("test", 4, Some(1.0)))), "nothing decides");
    }
}
