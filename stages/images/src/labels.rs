//! The options of `decode`, read: which grey value or colour of a mask is which class. Looks at no pixels: `assign` does.

use pipeline_contract::{Finding, OptionSpec, OptionType, Place};
use serde::Deserialize;

use crate::classes::{BACKGROUND, Classes, IGNORED};
use crate::values::{Colour, in_order};

/// The options as the file gives them.
#[derive(Deserialize)]
pub(crate) struct Options {
    pub(crate) max_pixels: u64,
    #[serde(default, deserialize_with = "in_order")]
    labels: Option<Vec<(String, Colour)>>,
    ignore_label: Option<Colour>,
    tolerance: Option<u8>,
    other: Option<Other>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Other {
    Background,
    Ignore,
    Error,
}

/// The most classes beside the background: their numbers end below [`IGNORED`].
const MOST: usize = IGNORED as usize - 1;

/// Declares the options. They have no defaults in the file: without `labels` there is nothing that they could apply to.
pub(crate) fn options() -> [OptionSpec; 4] {
    let channel = || OptionType::Integer { min: 0, max: 255 };
    let colour = || OptionType::AnyOf(vec![channel(), OptionType::List { of: Box::new(channel()), min: 3, max: 3 }]);
    [
        OptionSpec::optional(
            "labels",
            OptionType::Map { of: Box::new(colour()), min: 1, max: MOST + 1 },
            "the grey value or colour [r, g, b] of each class by name, in the order of classes 1, 2, ...; black is class 0, and so is \
             the value of `background`. Without labels a mask is binary: vessel where channel 0 is above half of its range",
        ),
        OptionSpec::optional(
            "ignore_label",
            colour(),
            "the grey value or colour of pixels that losses and figures leave out; they become 255",
        ),
        OptionSpec::optional(
            "tolerance",
            channel(),
            "the most that a channel may differ from its label's value, for masks saved as JPEG; the nearest label counts. 0 unless said",
        ),
        OptionSpec::optional(
            "other",
            OptionType::Choice(&["background", "ignore", "error"]),
            "what pixels without a label are: background, ignored (255), or an error of their sample. error unless said",
        ),
    ]
}

/// Which value is which class.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Labels {
    /// Values and the numbers of their classes; black is among them.
    values: Vec<([u8; 3], u8)>,
    /// The most that a channel may be off.
    pub(crate) tolerance: u8,
    /// The number of values without a label; `None` when they are an error.
    pub(crate) other: Option<u8>,
    /// What the numbers stand for.
    pub(crate) classes: Classes,
}

impl Labels {
    /// Reads the options; without `labels` there are none. Also all that is wrong with them.
    pub(crate) fn read(options: &Options) -> (Option<Self>, Vec<Finding>) {
        let Some(given) = &options.labels else { return (None, useless(options)) };
        let mut findings: Vec<Finding> = given.iter().filter_map(|(name, _)| misnamed(name)).collect();
        let mut names = vec![BACKGROUND.to_owned()];
        let mut values: Vec<(&str, [u8; 3], u8)> = Vec::new();
        for (name, Colour(value)) in given {
            let number = if name == BACKGROUND { 0 } else { names.len().min(MOST) as u8 };
            if name != BACKGROUND {
                names.push(name.clone());
            }
            values.push((name, *value, number));
        }
        if let Some(Colour(value)) = options.ignore_label {
            values.push(("ignore_label", value, IGNORED));
        }
        if names.len() == 1 {
            let message = "`labels` names no class but the background";
            findings.push(Finding::error(Place::Option("labels".into()), message).help("add one, such as vessel: 255"));
        }
        if names.len() > MOST + 1 {
            let message =
                format!("`labels` has {} classes, at most {MOST} are possible: 255 marks ignored pixels", names.len() - 1);
            findings.push(Finding::error(Place::Option("labels".into()), message));
        }
        findings.extend(clashes(&values));
        let mut values: Vec<_> = values.into_iter().map(|(_, value, number)| (value, number)).collect();
        if values.iter().all(|(value, _)| *value != BLACK) {
            values.push((BLACK, 0));
        }
        let other = match options.other {
            Some(Other::Background) => Some(0),
            Some(Other::Ignore) => Some(IGNORED),
            Some(Other::Error) | None => None,
        };
        let ignored = options.ignore_label.is_some() || other == Some(IGNORED);
        let classes = Classes { names, ignored };
        (Some(Self { values, tolerance: options.tolerance.unwrap_or(0), other, classes }), findings)
    }

    /// The number of a value's class: that of the nearest label whose channels are all within the tolerance, the first of several
    /// that are equally near. `None` when there is none and that is an error.
    pub(crate) fn number(&self, value: [u8; 3]) -> Option<u8> {
        let within = |label: &[u8; 3]| label.iter().zip(value).all(|(&one, other)| one.abs_diff(other) <= self.tolerance);
        let squared = |label: &[u8; 3]| -> u32 {
            label.iter().zip(value).map(|(&one, other)| u32::from(one.abs_diff(other)).pow(2)).sum()
        };
        let near = self.values.iter().filter(|(label, _)| within(label)).min_by_key(|(label, _)| squared(label));
        near.map(|(_, number)| *number).or(self.other)
    }
}

const BLACK: [u8; 3] = [0; 3];

/// Options that apply to nothing.
fn useless(options: &Options) -> Vec<Finding> {
    let given = [
        ("ignore_label", options.ignore_label.is_some()),
        ("tolerance", options.tolerance.is_some()),
        ("other", options.other.is_some()),
    ];
    let finding = |(name, _): (&str, bool)| {
        Finding::error(Place::Option(name.into()), format!("`{name}` does nothing without `labels`"))
            .help("add labels, such as labels: {artery: [255, 0, 0], vein: [0, 0, 255]}, or remove it")
    };
    given.into_iter().filter(|(_, given)| *given).map(finding).collect()
}

fn misnamed(name: &str) -> Option<Finding> {
    let wrong = name.trim().is_empty() || name.chars().any(char::is_control);
    wrong.then(|| Finding::error(Place::Option(format!("labels.{name}")), "a class needs a name that can be printed"))
}

/// Labels that share a value with one before them, and a black one where the background is black as well.
fn clashes(values: &[(&str, [u8; 3], u8)]) -> Vec<Finding> {
    let place =
        |name: &str, number: u8| Place::Option(if number == IGNORED { name.to_owned() } else { format!("labels.{name}") });
    let named = values.iter().any(|(_, _, number)| *number == 0);
    let finding = |(at, (name, value, number)): (usize, &(&str, [u8; 3], u8))| {
        if let Some((first, _, _)) = values[..at].iter().find(|(_, other, _)| other == value) {
            let message = format!("`{first}` and `{name}` have the same value, {}", shown(*value));
            return Some(Finding::error(place(name, *number), message).help("give each its own"));
        }
        (*value == BLACK && !named).then(|| {
            Finding::error(place(name, *number), format!("`{name}` is black, and so is the background"))
                .help("add the background's own value to `labels`, such as background: 255")
        })
    };
    values.iter().enumerate().filter_map(finding).collect()
}

/// A value as it would stand in the file: a number where all channels are equal.
pub(crate) fn shown<T: Copy + PartialEq + std::fmt::Display>([red, green, blue]: [T; 3]) -> String {
    if red == green && green == blue { red.to_string() } else { format!("[{red}, {green}, {blue}]") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(mut given: Value) -> (Option<Labels>, Vec<String>) {
        given["max_pixels"] = json!(1);
        let (labels, findings) = Labels::read(&serde_json::from_value(given).unwrap());
        let told = findings.into_iter().map(|finding| match finding.place {
            Place::Option(path) => format!("{path}: {}", finding.message),
            place => panic!("{place:?}"),
        });
        (labels, told.collect())
    }

    fn labels(given: Value) -> Labels {
        let (labels, findings) = read(given);
        assert_eq!(findings, [""; 0]);
        labels.unwrap()
    }

    #[test]
    fn classes_are_numbered_in_their_order() {
        // Not the order of the alphabet.
        let labels = labels(json!({"labels": {"vein": [0, 0, 255], "background": 7, "artery": 9}, "ignore_label": 8}));
        assert_eq!(labels.classes.names, ["background", "vein", "artery"]);
        assert!(labels.classes.ignored);
        let numbers = [[0, 0, 255], [7; 3], [9; 3], [8; 3], [0; 3], [1; 3]].map(|value| labels.number(value));
        assert_eq!(numbers, [Some(1), Some(0), Some(2), Some(255), Some(0), None]);
    }

    #[test]
    fn a_label_may_be_black_when_the_background_is_not() {
        let labels = labels(json!({"labels": {"vessel": 0, "background": 255}}));
        assert_eq!([[0; 3], [255; 3]].map(|value| labels.number(value)), [Some(1), Some(0)]);
    }

    #[test]
    fn the_nearest_label_within_the_tolerance_counts() {
        let given = json!({"labels": {"low": 100, "high": 110, "red": [255, 0, 0]}, "tolerance": 6});
        let labels = labels(given);
        for (value, expected) in [
            ([94; 3], Some(1)),
            ([93; 3], None),
            ([104; 3], Some(1)),
            // As near to the one as to the other: the first.
            ([105; 3], Some(1)),
            ([106; 3], Some(2)),
            ([100, 100, 107], None),
            ([249, 6, 6], Some(3)),
            ([6; 3], Some(0)),
            ([7; 3], None),
        ] {
            assert_eq!(labels.number(value), expected, "{value:?}");
        }
    }

    #[test]
    fn values_without_a_label_may_be_background_or_ignored() {
        for (other, expected, ignored) in [("background", Some(0), false), ("ignore", Some(255), true), ("error", None, false)]
        {
            let labels = labels(json!({"labels": {"vessel": 255}, "other": other}));
            assert_eq!((labels.number([3; 3]), labels.classes.ignored), (expected, ignored), "{other}");
            assert_eq!(labels.number([255; 3]), Some(1), "{other}");
        }
    }

    #[test]
    fn what_is_wrong_is_found_before_the_run() {
        let many: serde_json::Map<_, _> = (1..=255).map(|at| (format!("c{at}"), json!([at, 1, 0]))).collect();
        for (given, expected) in [
            (json!({"labels": {"a": 255, "b": [255, 255, 255]}}), "labels.b: `a` and `b` have the same value, 255"),
            (json!({"labels": {"a": [1, 2, 3], "b": [1, 2, 3]}}), "labels.b: `a` and `b` have the same value, [1, 2, 3]"),
            (json!({"labels": {"a": 3, "background": 3}}), "labels.background: `a` and `background` have the same value, 3"),
            (json!({"labels": {"a": 3}, "ignore_label": 3}), "ignore_label: `a` and `ignore_label` have the same value, 3"),
            (json!({"labels": {"a": 0}}), "labels.a: `a` is black, and so is the background"),
            (json!({"labels": {"a": 1}, "ignore_label": 0}), "ignore_label: `ignore_label` is black, and so is the background"),
            (json!({"labels": {"background": 255}}), "labels: `labels` names no class but the background"),
            (json!({"labels": {" ": 255}}), "labels. : a class needs a name that can be printed"),
            (json!({"labels": many}), "labels: `labels` has 255 classes, at most 254 are possible: 255 marks ignored pixels"),
            (json!({"tolerance": 3}), "tolerance: `tolerance` does nothing without `labels`"),
            (json!({"ignore_label": 3}), "ignore_label: `ignore_label` does nothing without `labels`"),
            (json!({"other": "error"}), "other: `other` does nothing without `labels`"),
        ] {
            assert_eq!(read(given).1, [expected]);
        }
        assert_eq!(read(json!({})), (None, Vec::new()));
        let most: serde_json::Map<_, _> = (1..=254).map(|at| (format!("c{at}"), json!([at, 1, 0]))).collect();
        assert_eq!(labels(json!({"labels": most})).number([254, 1, 0]), Some(254));
    }
}
