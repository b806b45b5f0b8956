//! `synthetic_fundus`: samples without any files, to try a pipeline at once. Names them; `decode` draws them with `fundus`.

use pipeline_contract::{BuildContext, Checked, Facts, OptionSpec, OptionType, StageKind, fact, stage_rng};
use rand::Rng as _;
use serde::Deserialize;
use serde_json::json;

use crate::SampleFiles;
use crate::decode::DRAWN_VALUES;
use crate::fundus::CLASS_COLOURS;
use crate::listing::{Listing, shuffle_option};

#[derive(Deserialize)]
struct Options {
    pairs: usize,
    size: usize,
    split: Split,
    seed: u64,
    #[serde(default)]
    classes: bool,
    shuffle: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Split {
    Train,
    Validation,
    Test,
}

impl Split {
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// The sizes that are drawn, in pixels: below, vessels are no longer apart.
pub(crate) const SIZES: std::ops::RangeInclusive<usize> = 32..=8192;

/// Declares `synthetic_fundus`.
pub fn kind() -> StageKind {
    let size = OptionType::Integer { min: *SIZES.start() as i64, max: *SIZES.end() as i64 };
    StageKind::source("synthetic_fundus", "draws vessel trees on a fundus, with exact masks", |options: Options, cx| {
        Ok(list(&options, cx))
    })
    .contents(|options: Options, cx| Ok(list(&options, cx).contents()))
    .option(OptionSpec::new("pairs", OptionType::Integer { min: 1, max: 1_000_000 }, 20, "pairs in an epoch, the same in each"))
    .option(OptionSpec::new("size", size, 256, "height and width in pixels"))
    .option(OptionSpec::new(
        "split",
        OptionType::Choice(&["train", "validation", "test"]),
        "train",
        "sets without a common eye",
    ))
    .option(OptionSpec::from_key("seed", OptionType::at_least(0), "seed", 0, "which eyes are drawn"))
    .option(OptionSpec::optional(
        "classes",
        OptionType::Bool,
        "masks in which arteries are [255, 0, 0] and veins [0, 0, 255], for the `labels` of decode; not unless said",
    ))
    .option(shuffle_option())
    .check::<Options>(|options, _| {
        let mut facts = Facts::default();
        facts.set(fact::HEIGHT, options.size, "size");
        facts.set(fact::WIDTH, options.size, "size");
        facts.set(fact::SAMPLES, options.pairs, "pairs");
        let values = if options.classes { &CLASS_COLOURS[1..] } else { &[[255; 3]] };
        facts.set(DRAWN_VALUES, json!(values), "classes");
        facts.set(fact::PART, options.split.name(), "split");
        Checked::facts(facts)
    })
    .example("- {id: files, use: synthetic_fundus, with: {pairs: 40, size: 192, split: train, shuffle: true}}")
}

fn list(options: &Options, cx: &BuildContext) -> Listing {
    let (split, &Options { size, classes, .. }) = (options.split.name(), options);
    let drawn = |number| SampleFiles::Drawn { size, seed: sample_seed(options.seed, split, number), classes };
    let samples = (1..=options.pairs).map(|number| (format!("{split}/drawn_{number:04}"), drawn(number)));
    Listing::new(samples.collect(), options.shuffle, cx)
}

/// The seed of the `number`-th eye of a split.
pub(crate) fn sample_seed(seed: u64, split: &str, number: usize) -> u64 {
    stage_rng(seed, number as u64, split, "synthetic_fundus").next_u64()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::testing::{defaults, emitted};

    fn seeds(given: Value, epoch: u64) -> Vec<(String, u64)> {
        let samples = emitted::<SampleFiles>(&kind(), given, epoch).unwrap();
        let seed = |files| match files {
            SampleFiles::Drawn { seed, .. } => seed,
            SampleFiles::Pair { .. } | SampleFiles::Photograph(_) => panic!("a drawn sample has no files"),
        };
        samples.into_iter().map(|(id, files)| (id, seed(files))).collect()
    }

    #[test]
    fn epochs_are_the_same_and_splits_and_seeds_share_no_eye() {
        let train = seeds(json!({}), 0);
        assert_eq!(train, seeds(json!({}), 1));
        assert_eq!((train.len(), train[0].0.as_str()), (20, "train/drawn_0001"));
        let sets =
            [train, seeds(json!({"split": "validation"}), 0), seeds(json!({"split": "test"}), 0), seeds(json!({"seed": 1}), 0)];
        assert_eq!(sets.concat().into_iter().map(|(_, seed)| seed).collect::<BTreeSet<_>>().len(), 80);
    }

    #[test]
    fn shuffling_changes_the_order_alone() {
        let [first, second] = [0, 1].map(|epoch| seeds(json!({"shuffle": true}), epoch));
        assert_ne!(first, second);
        let sorted = |samples: Vec<_>| samples.into_iter().collect::<BTreeSet<_>>();
        assert_eq!(sorted(first), sorted(seeds(json!({}), 0)));
    }

    #[test]
    fn its_size_is_known() {
        let facts = kind().run_check(&defaults(&kind()), &[]).unwrap().facts;
        assert_eq!(
            [fact::HEIGHT, fact::WIDTH, fact::SAMPLES].map(|name| facts.integer(name)),
            [Some(256), Some(256), Some(20)]
        );
    }
}
