//! Which evaluator of a file a stage is, for its events and for the names of its files.

use std::path::PathBuf;

use pipeline_contract::{BuildContext, Facts, fact};

/// An evaluator among those of its file.
pub(super) struct Evaluator {
    /// Its id.
    pub stage: String,
    /// Which part of the data set it measures, where that is known.
    pub part: Option<String>,
    /// The run's folder.
    out: PathBuf,
    /// Whether it is the first of its file, whose files have plain names.
    first: bool,
}

impl Evaluator {
    pub(super) fn of(cx: &BuildContext) -> Self {
        let part = |facts: &Facts| facts.get(fact::PART)?.value.as_str().map(str::to_owned);
        let stage = cx.stage.clone();
        let first = cx.peers.first().is_none_or(|first| *first == stage);
        Self { part: cx.facts.last().and_then(part), stage, out: cx.out.clone(), first }
    }

    /// Whether the model goes by it: it measures the validation part, or is the first.
    pub fn leads(&self) -> bool {
        self.first || self.part.as_deref() == Some("validation")
    }

    /// The path of one of its files: `NAME.ENDING`, or `NAME.ID.ENDING` of all but the first evaluator.
    pub(super) fn file(&self, name: &str, ending: &str) -> PathBuf {
        self.out.join(match self.first {
            true => format!("{name}.{ending}"),
            false => format!("{name}.{}.{ending}", self.stage),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_evaluator_keeps_the_plain_names() {
        let file = |stage: &str, peers: &[&str]| {
            let peers = peers.iter().map(ToString::to_string).collect();
            let evaluator = Evaluator::of(&BuildContext { peers, ..BuildContext::standalone(stage) });
            evaluator.file("predictions", "png").file_name().unwrap_or_default().to_string_lossy().into_owned()
        };
        assert_eq!(file("test", &[]), "predictions.png");
        assert_eq!(file("validate", &["validate", "test"]), "predictions.png");
        assert_eq!(file("test", &["validate", "test"]), "predictions.test.png");
    }

    #[test]
    fn the_part_is_that_of_the_images() {
        let mut images = Facts::default();
        images.set(fact::PART, "validation", "split");
        let cx = BuildContext { facts: vec![Facts::default(), images], ..BuildContext::standalone("validate") };
        assert_eq!(Evaluator::of(&cx).part.as_deref(), Some("validation"));
        assert_eq!(Evaluator::of(&BuildContext::standalone("validate")).part, None);
    }
}
