//! `batch`: joins pairs into a micro-batch, in order. Shuffles nothing: sources do.

use std::sync::Arc;

use pipeline_contract::{
    Checked, Facts, Finding, ItemContext, OptionSpec, OptionType, Output, Place, Result, Sequential, Settled, StageError,
    StageKind, fact,
};
use serde::Deserialize;

use crate::{Batch, ImagePair};

#[derive(Deserialize)]
struct Options {
    size: usize,
    drop_last: bool,
}

/// The most pairs in a micro-batch: with it, no product of sizes that a file may give overflows.
const MOST: i64 = 1 << 16;

/// Declares `batch`.
pub fn kind() -> StageKind {
    StageKind::sequential("batch", "joins pairs into a micro-batch", |options: Options, cx| {
        let settled = cx.settled.clone();
        Ok(Batching { size: options.size, drop_last: options.drop_last, held: None, settled, usual: None })
    })
    .option(OptionSpec::new(
        "size",
        OptionType::Integer { min: 1, max: MOST },
        1,
        "pairs in a micro-batch; an epoch's last one may hold fewer",
    ))
    .option(OptionSpec::new("drop_last", OptionType::Bool, false, "drops an epoch's last micro-batch if it is smaller"))
    .check::<Options>(|options, inputs| {
        let mut facts = inputs.first().cloned().unwrap_or_default();
        facts.set(fact::BATCH, options.size, "size");
        // Which samples an epoch leaves out hangs on the size then.
        facts.set(fact::DROP_LAST, options.drop_last, "drop_last");
        let mut checked = Checked::facts(facts);
        checked.findings.extend(dropped(options, &checked.facts));
        checked
    })
    .gathers()
    .example("- {id: batch, use: batch, with: {size: 4}}")
}

/// The problem of an epoch that `drop_last` leaves nothing of, where it is known before the run how many samples an epoch has.
fn dropped(options: &Options, facts: &Facts) -> Option<Finding> {
    let samples = facts.integer(fact::SAMPLES).filter(|&samples| options.drop_last && samples < options.size as u64)?;
    let message =
        format!("`drop_last` drops all of an epoch: its {samples} samples don't fill a micro-batch of {}", options.size);
    Some(Finding::error(Place::Option("drop_last".into()), message).help("lower the `size`, or leave `drop_last` out"))
}

struct Batching {
    size: usize,
    drop_last: bool,
    held: Option<Batch>,
    settled: Settled,
    /// The run's first pair and its height and width, which all others must have where batches hold more than one: so that a
    /// pair of another size is the one at fault, wherever in a batch it comes.
    usual: Option<(String, usize, usize)>,
}

impl Sequential for Batching {
    type In = ImagePair;
    type Out = Batch;

    fn item(&mut self, pair: ImagePair, cx: &ItemContext<'_>, out: &mut Output<'_, Batch>) -> Result<()> {
        let sample: Arc<str> = cx.sample.into();
        if self.size > 1 {
            if self.usual.is_none() {
                self.usual = Some(self.settled.once((sample.to_string(), pair.height, pair.width))?);
            }
            self.usual.as_ref().map_or(Ok(()), |usual| fits(usual, &sample, &pair))?;
        }
        let full = match &mut self.held {
            None => {
                let held = self.held.insert(start(sample, pair, self.size)?);
                held.samples.len() == self.size
            }
            Some(held) => {
                join(held, sample, pair)?;
                held.samples.len() == self.size
            }
        };
        if full { self.emit(out) } else { Ok(()) }
    }

    fn epoch_end(&mut self, _: u64, out: &mut Output<'_, Batch>) -> Result<()> {
        if self.drop_last {
            self.held = None;
        }
        self.emit(out)
    }
}

impl Batching {
    fn emit(&mut self, out: &mut Output<'_, Batch>) -> Result<()> {
        let Some(mut batch) = self.held.take() else { return Ok(()) };
        // Only an epoch's last batch has room to spare, and budgets count capacity.
        batch.images.shrink_to_fit();
        batch.masks.shrink_to_fit();
        out.emit(batch.samples.join(", "), batch)
    }
}

/// A batch of one, with room for the others; the pair's own buffers when there are no others.
fn start(sample: Arc<str>, pair: ImagePair, size: usize) -> Result<Batch> {
    let ImagePair { height, width, mut image, mut mask, kind, normalization, original, .. } = pair;
    // Asked for, not demanded: where the system has no such room, that is the run's error and not the process's end.
    let room = |values: &mut Vec<u8>| {
        let more = values.len().checked_mul(size - 1)?;
        values.try_reserve_exact(more).ok()
    };
    if room(&mut image).and(room(&mut mask)).is_none() {
        return Err(StageError::new(format!("no memory for {size} pairs of {width} x {height} pixels"))
            .help("lower the `size` of the batch stage"));
    }
    let originals = vec![original];
    Ok(Batch { samples: vec![sample], height, width, images: image, masks: mask, kind, normalization, originals })
}

/// Whether a pair has the size of the others. Nothing is changed where it hasn't.
fn fits((first, height, width): &(String, usize, usize), sample: &str, pair: &ImagePair) -> Result<()> {
    if (*height, *width) == (pair.height, pair.width) {
        return Ok(());
    }
    let (other_width, other_height) = (pair.width, pair.height);
    Err(StageError::new(format!(
        "batches need pairs of one size: {first}, the first, has {width} x {height} pixels, {sample} has {other_width} x {other_height}"
    ))
    .help("put a `resize` stage before `batch`, or set its `size` to 1")
    .of_sample())
}

fn join(batch: &mut Batch, sample: Arc<str>, mut pair: ImagePair) -> Result<()> {
    let first = &batch.samples[0];
    if batch.normalization != pair.normalization {
        return Err(StageError::new(format!("a batch needs pairs of one normalisation: {first} and {sample} differ"))
            .help("put one `normalize` stage before `batch`"));
    }
    if batch.kind != pair.kind {
        return Err(StageError::new(format!("a batch needs masks of one kind: only one of {first} and {sample} has labels"))
            .help("give the `decode` of each source the same `labels`"));
    }
    batch.images.extend_from_slice(&pair.image);
    batch.masks.extend_from_slice(&pair.mask);
    batch.originals.push(pair.original.take());
    batch.samples.push(sample);
    Ok(())
}

#[cfg(test)]
mod tests {
    use pipeline_contract::{Item, Payload, Running};
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{build, context, defaults, distinct, item_context};

    /// The labels and batches of an epoch of these pairs, named a, b, c, ...
    fn batches(given: Value, pairs: Vec<ImagePair>) -> Result<Vec<(String, Batch)>> {
        let Running::Sequential(mut stage) = build(&kind(), given, &context()).unwrap() else { panic!() };
        let mut batches = Vec::new();
        let mut sink = |item: Item| {
            assert_eq!(item.epoch, 2);
            batches.push((item.sample.to_string(), item.take()?));
            Ok(())
        };
        for (pair, name) in pairs.into_iter().zip('a'..) {
            let name = name.to_string();
            stage.item(0, Item::new(2, name.as_str(), pair), &item_context(&name, 2), &mut sink)?;
        }
        stage.epoch_end(2, &mut sink)?;
        Ok(batches)
    }

    #[test]
    fn the_tail_is_smaller_or_dropped() {
        let five = || vec![distinct(2, 3); 5];
        let all = batches(json!({"size": 2}), five()).unwrap();
        assert_eq!(all.iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>(), ["a, b", "c, d", "e"]);
        assert_eq!(all[2].1.samples.len(), 1);
        assert_eq!(all[1].1.images, [distinct(2, 3).image, distinct(2, 3).image].concat());
        assert_eq!(all.iter().map(|(_, batch)| batch.bytes()).collect::<Vec<_>>(), [48, 48, 24]);
        assert_eq!(batches(json!({"size": 2, "drop_last": true}), five()).unwrap().len(), 2);
        assert_eq!(batches(json!({}), five()).unwrap().len(), 5);
        assert_eq!(batches(json!({"size": 5, "drop_last": true}), five()).unwrap().len(), 1);
        assert!(batches(json!({"size": 2}), vec![]).unwrap().is_empty());
    }

    #[test]
    fn other_sizes_are_refused_by_name() {
        let error = batches(json!({"size": 2}), vec![distinct(2, 3), distinct(4, 3)]).unwrap_err();
        assert!(error.is_of_sample(), "and the batch is unchanged");
        for part in ["a, the first, has 3 x 2", "b has 3 x 4"] {
            assert!(error.message().contains(part), "{error}");
        }
        assert!(error.mend().unwrap().contains("`resize`"));
        assert_eq!(batches(json!({"size": 1}), vec![distinct(2, 3), distinct(4, 3)]).unwrap().len(), 2);
    }

    #[test]
    fn a_batch_without_room_is_an_error() {
        let error = batches(json!({"size": 1_u64 << 60}), vec![distinct(200, 300)]).unwrap_err();
        assert!(error.message().contains("no memory for") && error.mend().unwrap().contains("`size`"), "{error}");
    }

    #[test]
    fn an_epoch_of_which_nothing_would_be_left_is_refused() {
        let mut facts = Facts::default();
        facts.set(fact::SAMPLES, 5, "pairs");
        let findings = |size: i64, drop_last: bool, facts: &Facts| {
            let mut options = defaults(&kind());
            options["size"] = json!(size);
            options["drop_last"] = json!(drop_last);
            kind().run_check(&options, std::slice::from_ref(facts)).unwrap().findings
        };
        assert!(findings(8, true, &facts)[0].message.contains("its 5 samples"));
        for (size, drop_last, facts) in [(5, true, &facts), (8, false, &facts), (8, true, &Facts::default())] {
            assert_eq!(findings(size, drop_last, facts).len(), 0);
        }
    }

    #[test]
    fn the_size_is_a_fact() {
        let mut options = defaults(&kind());
        options["size"] = json!(3);
        let facts = kind().run_check(&options, &[Facts::default()]).unwrap().facts;
        assert_eq!(facts.integer(fact::BATCH), Some(3));
    }
}
