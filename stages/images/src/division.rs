//! Divides samples into training, validation and test parts, group by group. Knows names only: what a group and a stratum is,
//! `split` reads off the options.
//!
//! Groups are ordered by stratum, and within one by a hash of (seed, group). So the parts depend neither on the order of the files nor on
//! what is excluded or limited afterwards, and every n-th group of that order is a fold whose size and classes are balanced.

use std::collections::{BTreeMap, BTreeSet};

use pipeline_contract::{Result, StageError, stage_rng};
use rand::Rng as _;
use serde::Deserialize;

/// A part of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    Train,
    Validation,
    Test,
}

impl Part {
    /// Its name in files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// How much goes where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rule {
    /// How many folds, and which of them (from 0) is the test part; `None`: there is no test part.
    pub(crate) folds: Option<(usize, usize)>,
    /// The share of the remaining groups that validate, from 0 to below 1. At least one does if it isn't 0.
    pub(crate) validation: f64,
    /// Other seeds give other parts.
    pub(crate) seed: u64,
}

/// A sample as far as its division goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member {
    /// Its id.
    pub(crate) sample: String,
    /// Samples of one group stay together.
    pub(crate) group: String,
    /// Groups of one stratum are spread evenly over the parts.
    pub(crate) stratum: String,
}

/// The part of each sample, by its id.
///
/// # Errors
/// When there are too few groups for the rule.
pub(crate) fn divide(members: &[Member], rule: &Rule) -> Result<BTreeMap<String, Part>> {
    let order = ordered(members, rule.seed);
    let (count, folds) = (order.len(), rule.folds.map_or(1, |(folds, _)| folds));
    if count < folds {
        return Err(StageError::new(format!("`split` has {folds} folds, and the samples are only {count} groups"))
            .help(format!("set `folds` to at most {count}, or let `group` tell more groups apart")));
    }
    let is_test = |at: usize| rule.folds.is_some_and(|(folds, fold)| at % folds == fold);
    let rest = (0..count).filter(|&at| !is_test(at)).count();
    let validating = if rule.validation > 0.0 { ((rest as f64 * rule.validation).round() as usize).max(1) } else { 0 };
    if validating >= rest {
        let which = if rule.folds.is_some() { "outside the test fold " } else { "" };
        return Err(StageError::new(format!(
            "of the {rest} groups {which}`split` would take {validating} to validate on, and none is left to train on"
        ))
        .help("lower `validation`, or let `group` tell more groups apart"));
    }
    let (mut part_of, mut at_rest) = (BTreeMap::new(), 0);
    for (at, group) in order.into_iter().enumerate() {
        let part = if is_test(at) {
            Part::Test
        } else {
            // Evenly over the order, and so over the strata.
            let taken = |groups: usize| groups * validating / rest;
            at_rest += 1;
            if taken(at_rest) > taken(at_rest - 1) { Part::Validation } else { Part::Train }
        };
        part_of.insert(group, part);
    }
    Ok(members.iter().filter_map(|member| Some((member.sample.clone(), *part_of.get(member.group.as_str())?))).collect())
}

/// The groups: by stratum, then by hash. A group of several strata belongs to the one that most of its samples have.
fn ordered(members: &[Member], seed: u64) -> Vec<&str> {
    let mut strata: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    // Each sample once, however often it is listed.
    for member in members.iter().collect::<BTreeSet<_>>() {
        *strata.entry(&member.group).or_default().entry(&member.stratum).or_default() += 1;
    }
    let stratum = |counts: &BTreeMap<&str, usize>| {
        let most = counts.values().max();
        counts.iter().find(|(_, count)| Some(*count) == most).map(|(name, _)| (*name).to_owned())
    };
    let mut groups: Vec<(Option<String>, u64, &str)> =
        strata.iter().map(|(group, counts)| (stratum(counts), stage_rng(seed, 0, group, "split").next_u64(), *group)).collect();
    groups.sort_unstable();
    groups.into_iter().map(|(_, _, group)| group).collect()
}

#[cfg(test)]
mod tests {
    use pipeline_contract::Rng;
    use rand::RngExt;

    use super::*;

    /// Random names, some of them unusual, in groups of up to four and strata of very different sizes.
    fn random(rng: &mut Rng) -> Vec<Member> {
        let groups = rng.random_range(6..60_u64);
        let strata = rng.random_range(1..5_u64);
        let mut members = Vec::new();
        for group in 0..groups {
            let name = format!(
                "{}{}_{group}",
                ["", "ü", "Image ", "0"][rng.random_range(0..4_u64) as usize],
                rng.random_range(0..1000_u64)
            );
            let stratum = rng.random_range(0..strata) * rng.random_range(0..2_u64);
            for eye in 0..rng.random_range(1..5_u64) {
                members.push(Member { sample: format!("{name}/{eye}"), group: name.clone(), stratum: stratum.to_string() });
            }
        }
        members
    }

    fn shuffled(members: &[Member], rng: &mut Rng) -> Vec<Member> {
        let mut members = members.to_vec();
        for last in (1..members.len()).rev() {
            members.swap(last, rng.random_range(0..=last as u64) as usize);
        }
        members
    }

    /// How many groups of each stratum are in a part.
    fn groups(members: &[Member], parts: &BTreeMap<String, Part>, part: Part) -> BTreeMap<String, usize> {
        let of: BTreeSet<(String, String)> = members
            .iter()
            .filter(|member| parts[&member.sample] == part)
            .map(|member| (member.stratum.clone(), member.group.clone()))
            .collect();
        let mut counts = BTreeMap::new();
        of.into_iter().for_each(|(stratum, _)| *counts.entry(stratum).or_default() += 1);
        counts
    }

    #[test]
    fn every_sample_is_in_one_part_groups_stay_together_and_strata_are_balanced() {
        for case in 0..200 {
            let mut rng = stage_rng(case, 0, "case", "division");
            let members = random(&mut rng);
            let folds = rng.random_range(2..6_u64) as usize;
            let validation = [0.0, 0.15, 0.3][rng.random_range(0..3_u64) as usize];
            let mut tested: BTreeMap<String, usize> = BTreeMap::new();
            let mut sizes: Vec<BTreeMap<String, usize>> = Vec::new();
            for fold in 0..folds {
                let rule = Rule { folds: Some((folds, fold)), validation, seed: case };
                let parts = divide(&members, &rule).unwrap();
                assert_eq!(parts.len(), members.len(), "every sample has a part");
                assert_eq!(parts, divide(&shuffled(&members, &mut rng), &rule).unwrap(), "in any order");
                for member in &members {
                    let twin = members.iter().find(|other| other.group == member.group).unwrap();
                    assert_eq!(parts[&member.sample], parts[&twin.sample], "{} is divided", member.group);
                    *tested.entry(member.sample.clone()).or_default() += usize::from(parts[&member.sample] == Part::Test);
                }
                let [train, validate, test] =
                    [Part::Train, Part::Validation, Part::Test].map(|part| groups(&members, &parts, part));
                let all = |counts: &BTreeMap<String, usize>| counts.values().sum::<usize>();
                let rest = all(&train) + all(&validate);
                assert!(all(&train) > 0 && (validation == 0.0) == (all(&validate) == 0));
                let wanted = rest as f64 * validation;
                assert!((all(&validate) as f64 - wanted).abs() <= 1.0, "{} of {rest}", all(&validate));
                for stratum in train.keys().chain(validate.keys()) {
                    let of = |counts: &BTreeMap<String, usize>| counts.get(stratum).copied().unwrap_or(0);
                    let wanted = (of(&train) + of(&validate)) as f64 * all(&validate) as f64 / rest as f64;
                    assert!((of(&validate) as f64 - wanted).abs() <= 1.0, "{validate:?} of {train:?}");
                }
                sizes.push(test);
            }
            assert!(tested.values().all(|&count| count == 1), "each sample is tested in one fold");
            let spread = |size: &dyn Fn(&BTreeMap<String, usize>) -> usize| {
                let sizes: Vec<usize> = sizes.iter().map(size).collect();
                sizes.iter().max().unwrap() - sizes.iter().min().unwrap()
            };
            assert!(spread(&|test| test.values().sum()) <= 1, "folds are of one size: {sizes:?}");
            for stratum in members.iter().map(|member| &member.stratum) {
                assert!(spread(&|test| test.get(stratum).copied().unwrap_or(0)) <= 1, "in stratum {stratum}: {sizes:?}");
            }
        }
    }

    #[test]
    fn seeds_give_other_parts_and_a_group_has_the_stratum_of_most() {
        let members: Vec<Member> =
            (0..40).map(|at| Member { sample: at.to_string(), group: at.to_string(), stratum: String::new() }).collect();
        let rule = |seed| Rule { folds: Some((4, 0)), validation: 0.0, seed };
        assert_ne!(divide(&members, &rule(1)).unwrap(), divide(&members, &rule(2)).unwrap());
        let member = |sample: &str, group: &str, stratum: &str| Member {
            sample: sample.into(),
            group: group.into(),
            stratum: stratum.into(),
        };
        let members = [member("1", "b", "x"), member("2", "b", "y"), member("3", "b", "y"), member("4", "a", "x")];
        assert_eq!(ordered(&members, 0), ["a", "b"], "`b` is mostly y");
    }

    #[test]
    fn too_few_groups_are_an_error_that_says_how_many_there_are() {
        let members: Vec<Member> =
            (0..9).map(|at| Member { sample: at.to_string(), group: (at / 3).to_string(), stratum: String::new() }).collect();
        let error = divide(&members, &Rule { folds: Some((5, 0)), validation: 0.0, seed: 0 }).unwrap_err();
        assert!(error.message().contains("5 folds, and the samples are only 3 groups"), "{error}");
        let error = divide(&members[..3], &Rule { folds: None, validation: 0.2, seed: 0 }).unwrap_err();
        assert!(error.message().contains("none is left to train on"), "{error}");
        assert!(error.mend().unwrap().contains("`validation`"));
    }
}
