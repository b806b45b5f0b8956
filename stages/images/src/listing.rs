//! Emits a fixed list of samples, in their order or in another one each epoch. Shared by all sources; knows no files.

use std::cmp::Ordering;
use std::sync::Arc;

use pipeline_contract::{BuildContext, Content, OptionSpec, OptionType, Output, Result, Rng, Source, StageError};
use rand::RngExt;

use crate::SampleFiles;
use crate::fingerprint::parts;

/// A source of samples that are known before the run starts.
pub(crate) struct Listing {
    samples: Vec<(Arc<str>, SampleFiles)>,
    broken: Vec<(Arc<str>, StageError)>,
    shuffle: bool,
    cx: BuildContext,
}

impl Listing {
    /// Emits `samples` in their order, or shuffled.
    pub(crate) fn new(samples: Vec<(String, SampleFiles)>, shuffle: bool, cx: &BuildContext) -> Self {
        let samples = samples.into_iter().map(|(id, files)| (id.into(), files)).collect();
        Self { samples, broken: Vec::new(), shuffle, cx: cx.clone() }
    }

    /// The same, with samples that were found broken.
    pub(crate) fn with_broken(mut self, broken: Vec<(String, StageError)>) -> Self {
        self.broken = broken.into_iter().map(|(id, error)| (id.into(), error)).collect();
        self
    }
}

impl Listing {
    /// What its samples are made of, for comparing it with other sources.
    pub(crate) fn contents(self) -> Vec<Content> {
        let content = |(sample, files): (Arc<str>, SampleFiles)| Content { sample, parts: parts(files) };
        self.samples.into_iter().map(content).collect()
    }
}

impl Source for Listing {
    type Out = SampleFiles;

    fn samples(&self) -> Option<u64> {
        Some(self.samples.len() as u64)
    }

    fn broken(&mut self) -> Vec<(Arc<str>, StageError)> {
        std::mem::take(&mut self.broken)
    }

    fn epoch(&mut self, epoch: u64, out: &mut Output<'_, SampleFiles>) -> Result<()> {
        let mut order: Vec<usize> = (0..self.samples.len()).collect();
        if self.shuffle {
            shuffle(&mut order, &mut self.cx.rng(epoch, "order"));
        }
        for at in order {
            let (id, files) = &self.samples[at];
            out.emit(id.clone(), files.clone())?;
        }
        Ok(())
    }
}

/// Fisher-Yates, written out so that the order of a seed stays what it is when `rand` changes its own.
pub(crate) fn shuffle<T>(items: &mut [T], rng: &mut Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.random_range(0..=last as u64) as usize);
    }
}

/// `2_A` before `10_A`; names that differ only in leading zeros or spaces still have an order.
pub(crate) fn natural(left: &str, right: &str) -> Ordering {
    natord::compare(left, right).then_with(|| left.cmp(right))
}

/// The option `shuffle` of every source.
pub(crate) fn shuffle_option() -> OptionSpec {
    OptionSpec::new("shuffle", OptionType::Bool, false, "a different order in each epoch, drawn from the run's seed")
}

/// The option `limit` of the sources that read files.
pub(crate) fn limit_option() -> OptionSpec {
    OptionSpec::optional("limit", OptionType::at_least(1), "only the first pairs, this many, counted before shuffling")
}

#[cfg(test)]
mod tests {
    use pipeline_contract::stage_rng;

    use super::*;

    #[test]
    fn natural_order_counts() {
        let mut names = ["10_A", "2_A", "1_N", "02_A", "1_A"];
        names.sort_by(|left, right| natural(left, right));
        assert_eq!(names, ["02_A", "1_A", "1_N", "2_A", "10_A"]);
        assert_ne!(natural("1", "01"), Ordering::Equal);
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_every_place_is_possible() {
        let mut seen = [[0_u32; 5]; 5];
        for epoch in 0..500 {
            let mut items = [0, 1, 2, 3, 4];
            shuffle(&mut items, &mut stage_rng(1, epoch, "order", "files"));
            items.iter().enumerate().for_each(|(place, &item)| seen[place][item] += 1);
            items.sort_unstable();
            assert_eq!(items, [0, 1, 2, 3, 4]);
        }
        assert!(seen.iter().flatten().all(|&count| (60..140).contains(&count)), "{seen:?}");
    }
}
