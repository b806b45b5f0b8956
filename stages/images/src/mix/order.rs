//! In which order a mix emits the samples of its sources: a function of (seed, epoch) alone, so that a run resumes anywhere. Knows numbers of samples;
//! what they are, `mix` knows.

use pipeline_contract::BuildContext;
use serde::Deserialize;

use crate::listing::shuffle;

/// The option `order`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// All samples as one list.
    Together,
    /// All of the first source, then all of the second.
    InTurn,
    /// Each source has its share of an epoch, however many samples it has.
    ByWeight,
}

/// A source, as far as the order goes.
#[derive(Debug, Clone)]
pub(crate) struct Size {
    /// Its name, unique in the mix: its shuffling is drawn from it.
    pub(crate) name: String,
    /// How many samples it has; at least 1.
    pub(crate) samples: usize,
    /// How many of them an epoch takes: of `by_weight` its share, otherwise all.
    pub(crate) share: usize,
}

/// Which sample of which source comes when in one epoch (from 0): pairs of a source's and a sample's number.
///
/// `by_weight`: each source goes through all its samples before any comes again, from where it stood at the end of the epoch before. So each has
/// been seen as often as any other of its source, give or take one time.
pub(crate) fn epoch(order: Order, shuffled: bool, sizes: &[Size], epoch: u64, cx: &BuildContext) -> Vec<(usize, usize)> {
    let pass = |size: &Size, pass: u64| {
        let mut samples: Vec<usize> = (0..size.samples).collect();
        if shuffled {
            shuffle(&mut samples, &mut cx.rng(pass, &format!("order of {}", size.name)));
        }
        samples
    };
    let sources = || sizes.iter().enumerate();
    match order {
        Order::Together => {
            let mut all: Vec<_> = sources().flat_map(|(at, size)| (0..size.samples).map(move |sample| (at, sample))).collect();
            if shuffled {
                shuffle(&mut all, &mut cx.rng(epoch, "order"));
            }
            all
        }
        Order::InTurn => {
            sources().flat_map(|(at, size)| pass(size, epoch).into_iter().map(move |sample| (at, sample))).collect()
        }
        Order::ByWeight => {
            let mut turns = spread(sizes);
            if shuffled {
                shuffle(&mut turns, &mut cx.rng(epoch, "order"));
            }
            let mut walks: Vec<_> = sizes
                .iter()
                .map(|size| {
                    let (samples, taken) = (size.samples as u128, u128::from(epoch) * size.share as u128);
                    let (first, gone) = ((taken / samples) as u64, (taken % samples) as usize);
                    (first..).flat_map(move |number| pass(size, number)).skip(gone)
                })
                .collect();
            turns.into_iter().filter_map(|source| Some((source, walks[source].next()?))).collect()
        }
    }
}

/// The sources' numbers, each as often as its share, evenly spread: next comes the source that is furthest behind its share.
fn spread(sizes: &[Size]) -> Vec<usize> {
    let all: usize = sizes.iter().map(|size| size.share).sum();
    let mut taken = vec![0_i128; sizes.len()];
    let mut turns = Vec::with_capacity(all);
    for done in 1..=all as i128 {
        let behind = |at: usize| sizes[at].share as i128 * done - taken[at] * all as i128;
        // The first of several that are equally far behind.
        let next = (0..sizes.len()).rev().max_by_key(|&at| behind(at)).unwrap_or(0);
        taken[next] += 1;
        turns.push(next);
    }
    turns
}

/// `total` divided by weights, by the method of the largest remainder (Hamilton): each share is rounded down, and what is left goes, one each, to those
/// that lost most by it; of equals to the first. Weights are above 0.
pub(crate) fn shares(weights: &[f64], total: usize) -> Vec<usize> {
    let sum: f64 = weights.iter().sum();
    let quotas: Vec<f64> = weights.iter().map(|weight| total as f64 * weight / sum).collect();
    let mut shares: Vec<usize> = quotas.iter().map(|quota| quota.floor() as usize).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    // Stable, so equals stay in their order.
    order.sort_by(|&left, &right| quotas[right].fract().total_cmp(&quotas[left].fract()));
    let left = total.saturating_sub(shares.iter().sum());
    order.into_iter().take(left).for_each(|at| shares[at] += 1);
    shares
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::testing::context;

    fn sizes(samples: &[usize], shares: &[usize]) -> Vec<Size> {
        let size = |(at, (&samples, &share))| Size { name: format!("s{at}"), samples, share };
        samples.iter().zip(shares).enumerate().map(size).collect()
    }

    #[test]
    fn shares_are_exact_and_add_up() {
        assert_eq!(shares(&[3.0, 1.0], 32), [24, 8]);
        assert_eq!(shares(&[1.0, 1.0], 7), [4, 3], "of equals the first");
        assert_eq!(shares(&[0.5, 0.3, 0.2], 7), [4, 2, 1], "3.5, 2.1 and 1.4");
        assert_eq!(shares(&[0.1, 0.2, 0.7], 10), [1, 2, 7]);
        assert_eq!(shares(&[1e6, 1e-300], 5), [5, 0]);
        for total in 0..200 {
            let weights = [1.0, 0.7, 3.3, 1e-3];
            let (found, sum) = (shares(&weights, total), weights.iter().sum::<f64>());
            assert_eq!(found.iter().sum::<usize>(), total);
            assert!(found.iter().zip(weights).all(|(&share, weight)| (share as f64 - total as f64 * weight / sum).abs() < 1.0));
        }
    }

    #[test]
    fn together_is_every_sample_once_in_one_order_of_an_epoch() {
        let sizes = sizes(&[5, 3], &[5, 3]);
        let plain: Vec<_> = (0..5).map(|at| (0, at)).chain((0..3).map(|at| (1, at))).collect();
        assert_eq!(epoch(Order::Together, false, &sizes, 4, &context()), plain);
        let [first, second] = [0, 1].map(|at| epoch(Order::Together, true, &sizes, at, &context()));
        assert!(first != second && first != plain);
        assert_eq!(first, epoch(Order::Together, true, &sizes, 0, &context()));
        assert_eq!(first.into_iter().collect::<BTreeSet<_>>().len(), 8);
        // Samples of the second source come among those of the first.
        assert!((0..20).any(|at| epoch(Order::Together, true, &sizes, at, &context())[0].0 == 1));
    }

    #[test]
    fn in_turn_is_one_source_after_the_other_each_shuffled() {
        let sizes = sizes(&[5, 3], &[5, 3]);
        let [first, second] = [0, 1].map(|at| epoch(Order::InTurn, true, &sizes, at, &context()));
        for order in [&first, &second] {
            assert_eq!(order.iter().map(|(source, _)| *source).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 1, 1, 1]);
            assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 8);
        }
        assert_ne!(first, second);
    }

    #[test]
    fn by_weight_every_sample_of_a_source_comes_as_often() {
        for (samples, weights, total) in
            [(&[12, 16][..], &[3.0, 1.0][..], 28), (&[2, 40], &[1.0, 1.0], 42), (&[7, 5, 3], &[1.0, 2.0, 4.0], 10)]
        {
            let shares = shares(weights, total);
            let sizes = sizes(samples, &shares);
            let mut seen: BTreeMap<(usize, usize), usize> = BTreeMap::new();
            let mut orders = BTreeSet::new();
            for at in 0..40 {
                let order = epoch(Order::ByWeight, true, &sizes, at, &context());
                assert_eq!(order, epoch(Order::ByWeight, true, &sizes, at, &context()), "of the epoch alone");
                for (source, &share) in shares.iter().enumerate() {
                    assert_eq!(order.iter().filter(|(from, _)| *from == source).count(), share, "epoch {at}");
                }
                order.iter().for_each(|place| *seen.entry(*place).or_default() += 1);
                // After any epoch, not only at the end.
                for (source, &samples) in samples.iter().enumerate() {
                    let counts = (0..samples).map(|sample| seen.get(&(source, sample)).copied().unwrap_or(0));
                    let (least, most) = counts.fold((usize::MAX, 0), |(least, most), n| (least.min(n), most.max(n)));
                    assert!(most - least <= 1, "epoch {at}, source {source}: {least} to {most}");
                }
                orders.insert(order);
            }
            assert_eq!(orders.len(), 40, "no two epochs are alike");
        }
    }

    #[test]
    fn by_weight_without_shuffling_sources_alternate_and_go_on_where_they_stood() {
        let sizes = sizes(&[5, 2], &[3, 1]);
        let of = |at| epoch(Order::ByWeight, false, &sizes, at, &context());
        assert_eq!(of(0), [(0, 0), (0, 1), (1, 0), (0, 2)]);
        assert_eq!(of(1), [(0, 3), (0, 4), (1, 1), (0, 0)]);
        assert_eq!(of(2), [(0, 1), (0, 2), (1, 0), (0, 3)]);
        // However far a run has come.
        assert_eq!(of(u64::MAX).len(), 4);
    }
}
