//! `mix`: several sources as one, so that a network trains on several data sets together. The kind, its options and their check. What it emits is in
//! `samples`.

mod known;
mod options;
mod order;
mod samples;

use pipeline_contract::{Checked, Facts, Finding, OptionSpec, OptionType, Place, Severity, StageKind, Variant, fact};
use serde_json::{Map, Value};

use self::known::{Known, merged};
use self::options::{Given, Options, sources};
use self::order::{Order, shares};
use self::samples::mixture;
use crate::exclude::exclude_option;
use crate::listing::shuffle_option;

/// The largest weight, and the largest number of samples in an epoch.
const MOST: i64 = 1_000_000;

/// Declares `mix`.
pub fn kind() -> StageKind {
    let weight = OptionType::Number { min: 0.0, max: MOST as f64 };
    let source = OptionType::Group(vec![
        OptionSpec::optional(
            "weight",
            weight,
            "how large its share of an epoch is beside the other sources' weights, for `order: by_weight`; 1 unless said",
        ),
        OptionSpec::required("from", OptionType::Variant(variants()), "the source, with its options"),
    ]);
    StageKind::source("mix", "emits the samples of several sources as those of one", |options: Options, cx| {
        mixture(options, cx)
    })
    .contents(|options: Options, cx| Ok(mixture(options, cx)?.contents()))
    .option(OptionSpec::new(
        "order",
        OptionType::Choice(&["together", "in_turn", "by_weight"]),
        "together",
        "together: all samples as one list; in_turn: one source after the other; by_weight: each source has a fixed share of an epoch, and \
         its samples take turns from epoch to epoch",
    ))
    .option(shuffle_option())
    .option(OptionSpec::optional(
        "epoch",
        OptionType::Integer { min: 1, max: MOST },
        "how many samples an epoch has, for `order: by_weight`; as many as all sources together unless said",
    ))
    .option(exclude_option())
    .option(OptionSpec::required(
        "sources",
        OptionType::Map { of: Box::new(source), min: 1, max: 64 },
        "the sources by names of your choice; the ids of their samples begin with them, such as FIVES/train/17_A",
    ))
    .check::<Options>(|options, _| check(options))
    .example(
        r#"- id: files
  use: mix
  with:
    order: by_weight
    shuffle: true
    sources:
      FIVES: {weight: 3, from: {fives: {root: data/FIVES, split: train}}}
      CHASE_DB1: {weight: 1, from: {image_pairs: {root: data/CHASE_DB1, image: "Image_{id}.jpg", mask: "Image_{id}_1stHO.png"}}}"#,
    )
}

/// The kinds that can be mixed, with their own options but for `shuffle`: the mix shuffles.
fn variants() -> Vec<Variant> {
    let options = |kind: &StageKind| kind.options.iter().filter(|option| option.name != "shuffle").cloned().collect();
    sources().iter().map(|kind| Variant { name: kind.name, doc: kind.doc, options: options(kind) }).collect()
}

fn check(options: &Options) -> Checked {
    let mut findings: Vec<Finding> = alone(options).into_iter().chain(misnamed(options)).chain(useless(options)).collect();
    let mut known = Vec::new();
    for (name, Given { from, .. }) in options.sources() {
        let (path, inner) = (from.path(name), from.check());
        match inner {
            Ok(Checked { facts, findings: inner }) => {
                findings.extend(inner.into_iter().map(|finding| placed(finding, &path)));
                known.push(Known { name, path, facts });
            }
            Err(error) => findings.push(Finding::error(Place::Option(path), error.message())),
        }
    }
    findings.extend(same_twice(options));
    let (mut facts, different) = merged(&known);
    findings.extend(different);
    if options.order == Order::ByWeight {
        weights(options, &mut facts, &mut findings);
    }
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        facts = Facts::default();
    }
    Checked { facts, findings }
}

/// What a source's own check finds, at its place in the mix.
fn placed(finding: Finding, path: &str) -> Finding {
    let place = match finding.place {
        Place::Option(option) => Place::Option(format!("{path}.{option}")),
        Place::Stage | Place::Fact { .. } => Place::Option(path.to_owned()),
    };
    Finding { place, ..finding }
}

/// A single source.
fn alone(options: &Options) -> Option<Finding> {
    let mut sources = options.sources();
    let ((name, given), None) = (sources.next()?, sources.next()) else { return None };
    let message = format!("there is nothing to mix: `{name}` is the only source");
    Some(
        Finding::error(Place::Option("sources".into()), message)
            .help(format!("add another, or `use: {}` instead of `mix`", given.from.kind)),
    )
}

/// Names that the ids of samples can't begin with.
fn misnamed(options: &Options) -> Vec<Finding> {
    let fits = |name: &str| {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
        !name.is_empty() && name.len() <= 100 && name.chars().all(plain)
    };
    let names = options.sources().map(|(name, _)| name).filter(|name| !fits(name));
    let finding = |name: &str| {
        Finding::error(Place::Option(format!("sources.{name}")), format!("`{name}` can't be the name of a source"))
            .help("letters, digits, `_` and `-`, at most 100")
    };
    names.map(finding).collect()
}

/// Options that do nothing in this order.
fn useless(options: &Options) -> Vec<Finding> {
    if options.order == Order::ByWeight {
        return Vec::new();
    }
    let help = "set `order: by_weight`, or remove it";
    let epoch = options.epoch.map(|_| {
        let message = "`epoch` needs `order: by_weight`: otherwise an epoch has each sample once";
        Finding::error(Place::Option("epoch".into()), message).help(help)
    });
    let weighted = options.sources().filter(|(_, given)| given.weight.is_some());
    let weights = weighted.map(|(name, _)| {
        let place = Place::Option(format!("sources.{name}.weight"));
        Finding::warning(place, "a weight does nothing without `order: by_weight`").help(help)
    });
    epoch.into_iter().chain(weights).collect()
}

/// Checks the weights; what is known of an epoch follows from them.
fn weights(options: &Options, facts: &mut Facts, findings: &mut Vec<Finding>) {
    facts.set(fact::REPEATED, 1, "order");
    if let Some(epoch) = options.epoch {
        facts.set(fact::SAMPLES, epoch, "epoch");
    }
    let place = |name: &str| Place::Option(format!("sources.{name}.weight"));
    let zero: Vec<&str> = options.sources().filter(|(_, given)| given.weight == Some(0.0)).map(|(name, _)| name).collect();
    if !zero.is_empty() {
        let finding = |name: &&str| {
            Finding::error(place(name), format!("with a weight of 0 no epoch has a sample of `{name}`"))
                .help("remove this source, or give it a weight above 0")
        };
        return findings.extend(zero.iter().map(finding));
    }
    let Some(samples) = facts.integer(fact::SAMPLES).and_then(|samples| usize::try_from(samples).ok()) else { return };
    let all = shares(&options.weights(), samples);
    for ((name, _), _) in options.sources().zip(all).filter(|(_, share)| *share == 0) {
        findings.push(Finding::error(place(name), options.no_share(name, samples)).help(Options::MORE));
    }
}

/// Sources that list the same samples by the letter of their options.
fn same_twice(options: &Options) -> Vec<Finding> {
    let listed = |given: &Given| {
        let mut options: Map<String, Value> = given.from.options.clone();
        ["limit", "exclude"].iter().for_each(|name| drop(options.remove(*name)));
        (given.from.kind.clone(), options)
    };
    let all: Vec<_> = options.sources().map(|(name, given)| (name, given, listed(given))).collect();
    let twice = all.iter().enumerate().filter_map(|(at, (name, given, listed))| {
        let (first, ..) = all[..at].iter().find(|(_, _, before)| before == listed)?;
        let place = Place::Option(given.from.path(name));
        let message = format!("each sample of `{name}` is in both sources, `{first}` and `{name}`: an epoch has it twice");
        Some(Finding::warning(place, message).help("give them other folders, or another `split` or `part`"))
    });
    twice.collect()
}

#[cfg(test)]
mod tests {
    use pipeline_contract::Result;
    use serde_json::json;

    use super::*;
    use crate::testing::defaults;

    fn drawn(pairs: u64, size: u64, split: &str) -> Value {
        json!({"synthetic_fundus": {"pairs": pairs, "size": size, "split": split, "seed": 3}})
    }

    fn fives(root: &str, split: Value) -> Value {
        json!({"fives": {"root": root, "split": split, "exclude": []}})
    }

    fn checked(given: Value) -> Checked {
        let mut options = defaults(&kind());
        given.as_object().unwrap().iter().for_each(|(name, value)| options[name] = value.clone());
        let checked: Result<Checked> = kind().run_check(&options, &[]);
        checked.unwrap()
    }

    /// What it finds: place, message and help of each.
    fn found(given: Value) -> Vec<String> {
        let text = |finding: &Finding| {
            format!("{:?}: {} ({})", finding.place, finding.message, finding.help.clone().unwrap_or_default())
        };
        checked(given).findings.iter().map(text).collect()
    }

    /// The only thing that it finds has all these parts.
    fn finds(given: Value, parts: &[&str]) {
        let found = found(given.clone());
        assert_eq!(found.len(), 1, "{given}: {found:?}");
        parts.iter().for_each(|part| assert!(found[0].contains(part), "{part} isn't in {found:?}"));
    }

    #[test]
    fn what_the_sources_know_is_known_of_the_mix() {
        let given = |order: &str, more: Value| {
            let mut given = json!({"order": order, "sources": {"a": {"from": drawn(6, 64, "train")}, "b": {"from": drawn(2, 96, "train")}}});
            more.as_object().unwrap().iter().for_each(|(name, value)| given[name] = value.clone());
            checked(given)
        };
        let facts = given("together", json!({})).facts;
        assert_eq!((facts.integer(fact::SAMPLES), facts.get(fact::REPEATED)), (Some(8), None));
        assert_eq!(facts.get(fact::LARGEST).unwrap().value, json!([96, 96]));
        assert_eq!(facts.get(fact::PART).unwrap().option, "sources.a.from.synthetic_fundus.split");
        let facts = given("by_weight", json!({"epoch": 30})).facts;
        assert_eq!((facts.integer(fact::SAMPLES), facts.integer(fact::REPEATED)), (Some(30), Some(1)));
        assert_eq!(given("by_weight", json!({})).facts.integer(fact::SAMPLES), Some(8));
    }

    #[test]
    fn what_a_source_finds_is_at_its_place_in_the_mix() {
        let given = json!({"sources": {
            "FIVES": {"from": fives("a", json!("train"))},
            "OTHER": {"from": {"fives": {"root": "b", "split": {"folds": 3, "group": "{child}"}, "part": "train"}}},
        }});
        finds(given, &["Option(\"sources.OTHER.from.fives.split.group\")", "no capture `child`", "number, class"]);
        let given = json!({"sources": {
            "FIVES": {"from": fives("a", json!("train"))},
            "CHASE": {"from": {"image_pairs": {"root": "b", "image": "{id}.jpg", "mask": "{id}.jpg"}}},
        }});
        finds(given, &["Option(\"sources.CHASE.from.image_pairs.mask\")", "pattern of images and of masks"]);
    }

    #[test]
    fn weights_must_give_every_source_a_share() {
        let given = |weight: Value, more: Value| {
            let mut given = json!({"order": "by_weight", "sources": {
                "a": {"weight": 3, "from": drawn(6, 64, "train")}, "b": {"weight": weight, "from": drawn(2, 64, "test")}
            }});
            given["sources"]["b"]["from"]["synthetic_fundus"]["split"] = json!("train");
            given["sources"]["b"]["from"]["synthetic_fundus"]["seed"] = json!(4);
            more.as_object().unwrap().iter().for_each(|(name, value)| given[name] = value.clone());
            given
        };
        assert_eq!(found(given(json!(1), json!({}))), [""; 0]);
        finds(given(json!(0), json!({})), &["sources.b.weight", "weight of 0", "remove this source"]);
        finds(given(json!(0.1), json!({})), &["sources.b.weight", "0.1 among 3.1", "none of the 8 samples", "raise"]);
        assert_eq!(found(given(json!(0.1), json!({"epoch": 100}))), [""; 0]);
        let mut none = given(json!(0), json!({}));
        none["sources"]["a"]["weight"] = json!(0.0);
        assert_eq!(found(none).len(), 2);
        // Where they do nothing, it is said.
        let found = found(given(json!(1), json!({"order": "in_turn", "epoch": 9})));
        assert!(
            found.len() == 3 && found[0].contains("Option(\"epoch\")") && found[2].contains("sources.b.weight"),
            "{found:?}"
        );
    }

    #[test]
    fn the_same_samples_twice_other_parts_and_odd_names_are_told() {
        let given = |a: Value, b: Value| json!({"sources": {"a": {"from": a}, "b": {"from": b}}});
        let twice = given(fives("x", json!("train")), fives("x", json!("train")));
        finds(twice.clone(), &["sources.b.from.fives", "in both sources, `a` and `b`"]);
        let mut other = twice;
        other["sources"]["b"]["from"]["fives"]["limit"] = json!(3);
        finds(other, &["in both sources"]);
        assert_eq!(found(given(fives("x", json!("train")), fives("y", json!("train")))), [""; 0]);
        let alone = json!({"sources": {"a": {"from": fives("x", json!("train"))}}});
        finds(alone, &["Option(\"sources\")", "`a` is the only source", "`use: fives` instead"]);
        finds(given(fives("x", json!("train")), fives("x", json!("test"))), &["Option(\"sources\")", "`a` train, `b` test"]);
        for name in ["a/b", "a.b", "", "ü", "a b"] {
            let given = json!({"sources": {"a": {"from": fives("x", json!("all"))}, name: {"from": fives("y", json!("all"))}}});
            finds(given, &["can't be the name", "letters, digits"]);
        }
    }

    #[test]
    fn the_options_are_those_of_the_kinds_but_for_shuffle() {
        for (variant, kind) in variants().iter().zip(sources()) {
            assert_eq!((variant.name, variant.options.len() + 1), (kind.name, kind.options.len()));
            assert!(variant.options.iter().all(|option| option.name != "shuffle"));
        }
    }
}
