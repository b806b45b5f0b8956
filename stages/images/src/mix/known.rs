//! What is known of the samples of a mix: what holds for all its sources, and of some facts what follows from all of them. Reads no options.

use pipeline_contract::{Fact, Facts, Finding, Place, fact};
use serde_json::{Value, json};

use crate::decode::DRAWN_VALUES;

/// What one source of a mix says of its samples.
pub(crate) struct Known<'a> {
    /// Its name in the mix.
    pub(crate) name: &'a str,
    /// The dotted path of its options.
    pub(crate) path: String,
    /// What it says.
    pub(crate) facts: Facts,
}

impl Known<'_> {
    /// The option that settled one of its facts.
    fn option(&self, fact: &Fact) -> String {
        format!("{}.{}", self.path, fact.option)
    }

    /// The `[height, width]` of its largest photograph.
    fn largest(&self) -> Option<[u64; 2]> {
        match self.facts.integer(fact::HEIGHT).zip(self.facts.integer(fact::WIDTH)) {
            Some((height, width)) => Some([height, width]),
            None => serde_json::from_value(self.facts.get(fact::LARGEST)?.value.clone()).ok(),
        }
    }
}

/// Facts that don't simply hold where all sources agree.
const OF_ALL: [&str; 4] = [fact::SAMPLES, fact::LARGEST, fact::PART, DRAWN_VALUES];

/// What is known of the samples of all sources together, and a warning if they are of different parts of their data sets.
pub(crate) fn merged(sources: &[Known<'_>]) -> (Facts, Option<Finding>) {
    let mut facts = Facts::default();
    let Some((first, others)) = sources.split_first() else { return (facts, None) };
    for (name, fact) in first.facts.iter().filter(|(name, _)| !OF_ALL.contains(name)) {
        let same = |other: &Known<'_>| other.facts.get(name).is_some_and(|other| other.value == fact.value);
        if others.iter().all(same) {
            facts.set(name, fact.value.clone(), &first.option(fact));
        }
    }
    let samples = sources.iter().map(|source| source.facts.integer(fact::SAMPLES)).sum::<Option<u64>>();
    if let Some(samples) = samples {
        facts.set(fact::SAMPLES, samples, "sources");
    }
    if facts.get(fact::HEIGHT).is_none() || facts.get(fact::WIDTH).is_none() {
        let sizes = sources.iter().map(Known::largest).collect::<Option<Vec<_>>>();
        let largest = sizes.into_iter().flatten().max_by_key(|[height, width]| height.saturating_mul(*width));
        if let Some(largest) = largest {
            facts.set(fact::LARGEST, json!(largest), "sources");
        }
    }
    drawn_values(sources, &mut facts);
    let finding = part(sources, &mut facts);
    (facts, finding)
}

/// The values of all drawn masks: `decode` must have a label for each, whatever other masks there are.
fn drawn_values(sources: &[Known<'_>], facts: &mut Facts) {
    let mut values: Vec<Value> = Vec::new();
    let mut option = None;
    for source in sources {
        let Some(drawn) = source.facts.get(DRAWN_VALUES) else { continue };
        for value in drawn.value.as_array().into_iter().flatten().filter(|value| !values.contains(value)).collect::<Vec<_>>() {
            values.push(value.clone());
        }
        // Where most values come from.
        if drawn.value.as_array().is_some_and(|of_source| of_source.len() > 1) || option.is_none() {
            option = Some(source.option(drawn));
        }
    }
    if let Some(option) = option {
        facts.set(DRAWN_VALUES, values, &option);
    }
}

/// The one part that all sources are of which say it. Of several it is `test` if one is, since test samples must choose nothing.
fn part(sources: &[Known<'_>], facts: &mut Facts) -> Option<Finding> {
    let parts: Vec<(&Known<'_>, &Fact)> =
        sources.iter().filter_map(|source| Some((source, source.facts.get(fact::PART)?))).collect();
    let (source, first) = *parts.first()?;
    if parts.iter().all(|(_, part)| part.value == first.value) {
        facts.set(fact::PART, first.value.clone(), &source.option(first));
        return None;
    }
    if let Some((source, test)) = parts.iter().find(|(_, part)| part.value == "test") {
        facts.set(fact::PART, "test", &source.option(test));
    }
    let said = parts.iter().map(|(source, part)| format!("`{}` {}", source.name, part.value.as_str().unwrap_or_default()));
    let message = format!("the sources are of different parts: {}", said.collect::<Vec<_>>().join(", "));
    Some(Finding::warning(Place::Option("sources".into()), message).help("give all of them the same `split` or `part`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &'static str, facts: &[(&str, Value)]) -> Known<'static> {
        let mut known = Facts::default();
        facts.iter().for_each(|(name, value)| known.set(name, value.clone(), "option"));
        Known { name, path: format!("sources.{name}.from.kind"), facts: known }
    }

    fn value(facts: &Facts, name: &str) -> Option<Value> {
        facts.get(name).map(|fact| fact.value.clone())
    }

    #[test]
    fn what_all_sources_say_holds_and_samples_add_up() {
        let drawn = |name, samples: u64| {
            known(name, &[(fact::HEIGHT, json!(64)), (fact::WIDTH, json!(64)), (fact::SAMPLES, json!(samples))])
        };
        let (facts, finding) = merged(&[drawn("a", 3), drawn("b", 4)]);
        assert_eq!(facts.iter().map(|(name, _)| name).collect::<Vec<_>>(), [fact::HEIGHT, fact::SAMPLES, fact::WIDTH]);
        assert_eq!((facts.integer(fact::SAMPLES), facts.integer(fact::HEIGHT), finding), (Some(7), Some(64), None));
        assert_eq!(facts.get(fact::HEIGHT).unwrap().option, "sources.a.from.kind.option");
        // Of a folder nothing is known before it is listed.
        let (facts, _) = merged(&[drawn("a", 3), known("b", &[])]);
        assert_eq!(facts.iter().count(), 0);
    }

    #[test]
    fn of_different_sizes_the_largest_is_known() {
        let sized = |name, side: u64| known(name, &[(fact::HEIGHT, json!(side)), (fact::WIDTH, json!(side))]);
        let (facts, _) = merged(&[sized("a", 64), sized("b", 96), known("c", &[(fact::LARGEST, json!([100, 50]))])]);
        assert_eq!((value(&facts, fact::LARGEST), value(&facts, fact::HEIGHT)), (Some(json!([96, 96])), None));
    }

    #[test]
    fn drawn_values_are_those_of_all() {
        let (white, colours) = (json!([[255, 255, 255]]), json!([[255, 0, 0], [0, 0, 255]]));
        let (facts, _) = merged(&[
            known("a", &[(DRAWN_VALUES, white.clone())]),
            known("files", &[]),
            known("b", &[(DRAWN_VALUES, colours)]),
            known("c", &[(DRAWN_VALUES, white)]),
        ]);
        let fact = facts.get(DRAWN_VALUES).unwrap();
        assert_eq!(fact.value, json!([[255, 255, 255], [255, 0, 0], [0, 0, 255]]));
        assert_eq!(fact.option, "sources.b.from.kind.option");
    }

    #[test]
    fn different_parts_are_told_and_test_prevails() {
        let part = |name, part: &str| known(name, &[(fact::PART, json!(part))]);
        let (facts, finding) = merged(&[part("a", "train"), known("b", &[]), part("c", "train")]);
        assert_eq!((value(&facts, fact::PART), finding), (Some(json!("train")), None));
        let (facts, finding) = merged(&[part("a", "train"), part("b", "test")]);
        assert_eq!(value(&facts, fact::PART), Some(json!("test")));
        assert!(finding.unwrap().message.contains("`a` train, `b` test"));
        let (facts, finding) = merged(&[part("a", "train"), part("b", "validation")]);
        assert!(value(&facts, fact::PART).is_none() && finding.is_some());
    }
}
