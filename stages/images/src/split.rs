//! The options `split` and `part` of the sources that read files: which part of the samples a stage emits. How samples are divided
//! is in `division`.

use std::collections::BTreeMap;

use pipeline_contract::{Facts, Finding, OptionSpec, OptionType, Place, Result, StageError, fact};
use serde::Deserialize;

use crate::division::{Member, Part, Rule, divide};
use crate::pattern::Captures;
use crate::template::Template;

/// The option `split` where it is a map.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Options {
    #[serde(default)]
    by: Option<By>,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    stratify: Option<String>,
    #[serde(default)]
    folds: Option<usize>,
    #[serde(default)]
    fold: Option<usize>,
    #[serde(default)]
    validation: f64,
    #[serde(default)]
    seed: u64,
    /// The folder that is divided, where the source has several. Others have no such option.
    #[serde(default)]
    pub(crate) from: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum By {
    File,
    Group,
}

/// The option `part`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Wanted {
    Train,
    Validation,
    Test,
    All,
}

/// The type of `split` as a map; `more` are options of one source.
pub(crate) fn split_type(more: impl IntoIterator<Item = OptionSpec>) -> OptionType {
    let text = || OptionType::Text;
    let mut options = vec![
        OptionSpec::optional(
            "by",
            OptionType::Choice(&["file", "group"]),
            "what stays in one part: by default a group if `group` says what one is",
        ),
        OptionSpec::optional(
            "group",
            text(),
            "what samples of one group have in common, by their captures, such as \"{child}\": they stay in one part",
        ),
        OptionSpec::optional(
            "stratify",
            text(),
            "what is spread evenly over the parts, such as \"{class}\"; by default the class where names tell it, \"\": nothing",
        ),
        OptionSpec::optional(
            "folds",
            OptionType::Integer { min: 2, max: 1000 },
            "number of folds; one of them is the test part",
        ),
        OptionSpec::optional(
            "fold",
            OptionType::Integer { min: 0, max: 999 },
            "which fold is the test part, from 0 (the default)",
        ),
        OptionSpec::new(
            "validation",
            OptionType::share(),
            0.0,
            "share of the groups outside the test part to validate on, at least one; 0: none",
        ),
        OptionSpec::new(
            "seed",
            OptionType::at_least(0),
            0,
            "another seed gives other parts; it isn't the run's, so runs of other seeds have the same parts",
        ),
    ];
    options.extend(more);
    OptionType::Group(options)
}

/// Declares `part`.
pub(crate) fn part_option() -> OptionSpec {
    OptionSpec::optional(
        "part",
        OptionType::Choice(&["train", "validation", "test", "all"]),
        "which part of `split` this stage emits; `exclude` and `limit` take from it and move no other sample",
    )
}

/// What is wrong with the options: which option, what, and how to fix it.
#[derive(Debug)]
pub(crate) struct Wrong {
    option: &'static str,
    message: String,
    help: String,
}

impl Wrong {
    fn new(option: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { option, message: message.into(), help: help.into() }
    }

    /// There is a `part` of nothing.
    pub(crate) fn no_split() -> Self {
        let help = "add `split: {validation: 0.15, seed: 7}`, or `folds: 5` in it; or remove `part`";
        Self::new("part", "`part` is of a `split`, and nothing is divided", help)
    }

    /// As what a check finds.
    pub(crate) fn finding(self) -> Finding {
        Finding::error(Place::Option(self.option.into()), self.message).help(self.help)
    }

    /// As an error of the stage.
    pub(crate) fn error(self) -> StageError {
        StageError::new(self.message).help(self.help)
    }
}

/// The options, read: how samples are divided, and which are wanted.
#[derive(Debug)]
pub(crate) struct Division {
    rule: Rule,
    /// `None`: each sample is a group.
    group: Option<Template>,
    stratify: Template,
    /// `None`: all.
    part: Option<Part>,
}

impl Division {
    /// Reads the options of a source whose samples have the captures `known`; a capture of `classes` is what is spread evenly by
    /// default.
    pub(crate) fn read(
        options: &Options,
        wanted: Option<Wanted>,
        known: &[String],
        classes: &[&str],
    ) -> std::result::Result<Self, Wrong> {
        let Some(wanted) = wanted else {
            let help = "add `part: train` here, and `part: validation` or `part: test` where samples are measured";
            return Err(Wrong::new(
                "split",
                "`split` divides the samples, and no `part` says which of them this stage emits",
                help,
            ));
        };
        let folds = folds(options)?;
        if options.validation >= 1.0 {
            return Err(Wrong::new(
                "split.validation",
                "`validation: 1` leaves nothing to train on",
                "choose a smaller share, such as 0.15",
            ));
        }
        match wanted {
            _ if folds.is_none() && options.validation == 0.0 => {
                let help = "add `validation: 0.15`, or `folds: 5` for a test part";
                return Err(Wrong::new(
                    "split",
                    "`split` has neither `validation` nor `folds`: all samples are one part",
                    help,
                ));
            }
            Wanted::Test if folds.is_none() => {
                let help = "add `folds: 5` to `split`: one fold is the test part; or ask for `part: validation`";
                return Err(Wrong::new("part", "`split` makes no test part without `folds`", help));
            }
            Wanted::Validation if options.validation == 0.0 => {
                let help = "add `validation: 0.15` to `split`, or ask for `part: test`";
                return Err(Wrong::new("part", "`split` makes no validation part without `validation`", help));
            }
            _ => {}
        }
        let group = match (options.by, &options.group) {
            (Some(By::Group), None) => {
                let help = format!(
                    "add `group: \"{{{}}}\"`; the captures are {}",
                    known.first().map_or("id", |name| name),
                    known.join(", ")
                );
                return Err(Wrong::new("split.by", "`by: group` needs `group`, which says what a group is", help));
            }
            (Some(By::File), Some(_)) => {
                let help = "remove `by: file`, or remove `group`";
                return Err(Wrong::new("split.by", "`by: file` divides groups, and `group` keeps them together", help));
            }
            (_, None) => None,
            (_, Some(text)) => {
                let template =
                    Template::parse(text, known).map_err(|(message, help)| Wrong::new("split.group", message, help))?;
                if !template.has_capture() {
                    let help = format!("name a capture in braces: {}", known.join(", "));
                    return Err(Wrong::new(
                        "split.group",
                        format!("`{text}` is the same for all samples: they would be one group"),
                        help,
                    ));
                }
                Some(template)
            }
        };
        let class = classes.iter().find(|class| known.iter().any(|name| name == *class));
        let stratify =
            options.stratify.clone().unwrap_or_else(|| class.map_or_else(String::new, |class| format!("{{{class}}}")));
        let stratify =
            Template::parse(&stratify, known).map_err(|(message, help)| Wrong::new("split.stratify", message, help))?;
        let part = match wanted {
            Wanted::Train => Some(Part::Train),
            Wanted::Validation => Some(Part::Validation),
            Wanted::Test => Some(Part::Test),
            Wanted::All => None,
        };
        let rule = Rule { folds, validation: options.validation, seed: options.seed };
        Ok(Self { rule, group, stratify, part })
    }

    /// Sets what is known of the samples before anything runs.
    pub(crate) fn set(&self, facts: &mut Facts) {
        if let Some(part) = self.part {
            facts.set(fact::PART, part.name(), "part");
        }
    }

    /// Which of the samples, by id, this stage emits. `seen` are all that there are, with their captures.
    ///
    /// # Errors
    /// When there are too few groups, or samples whose group isn't known.
    pub(crate) fn keeps(&self, seen: &BTreeMap<String, Captures>) -> Result<Keeps> {
        let mut unknown = Vec::new();
        let mut members = Vec::new();
        for (id, captures) in seen {
            let group = match &self.group {
                None => Some(id.clone()),
                Some(group) => group.of(captures),
            };
            match group {
                Some(group) => {
                    members.push(Member { sample: id.clone(), group, stratum: self.stratify.of(captures).unwrap_or_default() });
                }
                None => unknown.push(id.clone()),
            }
        }
        if !unknown.is_empty() {
            let text = self.group.as_ref().map_or("", |group| &group.text);
            return Err(StageError::new(format!(
                "`group: {text}` isn't in the names of {}",
                crate::problems::listed(&unknown)
            ))
            .help("rename these files or move them away, or group by something that all names have"));
        }
        let parts = divide(&members, &self.rule)?;
        Ok(Keeps { parts, part: self.part })
    }
}

/// The test fold.
fn folds(options: &Options) -> std::result::Result<Option<(usize, usize)>, Wrong> {
    match (options.folds, options.fold) {
        (None, None) => Ok(None),
        (None, Some(fold)) => Err(Wrong::new(
            "split.fold",
            format!("`fold: {fold}` of how many? `split` has no `folds`"),
            "add `folds: 5`, or remove `fold`",
        )),
        (Some(folds), fold) => match fold.unwrap_or(0) {
            fold if fold < folds => Ok(Some((folds, fold))),
            fold => {
                let message = format!("there is no fold {fold} among {folds}: they count from 0");
                Err(Wrong::new("split.fold", message, format!("choose 0 to {}", folds - 1)))
            }
        },
    }
}

/// Which samples stay.
#[derive(Debug)]
pub(crate) struct Keeps {
    parts: BTreeMap<String, Part>,
    part: Option<Part>,
}

impl Keeps {
    /// Whether this sample stays. One that was never seen, because half of it is missing, stays wherever it is looked for.
    pub(crate) fn holds(&self, id: &str) -> bool {
        self.part.is_none() || self.parts.get(id).is_none_or(|part| Some(*part) == self.part)
    }

    /// The part's name, for messages.
    pub(crate) fn name(&self) -> &'static str {
        self.part.map_or("all", Part::name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn known() -> Vec<String> {
        ["child", "eye", "diagnosis"].map(str::to_owned).into()
    }

    fn read(options: Value, wanted: Option<Wanted>) -> std::result::Result<Division, Wrong> {
        Division::read(&serde_json::from_value(options).unwrap(), wanted, &known(), &["class", "diagnosis"])
    }

    #[test]
    fn what_is_wrong_is_said_with_its_option_and_its_mend() {
        use Wanted::*;
        for (options, wanted, option, message, help) in [
            (json!({"folds": 5}), None, "split", "no `part`", "part: train"),
            (json!({}), Some(Train), "split", "neither", "folds: 5"),
            (json!({"validation": 0.1}), Some(Test), "part", "no test part", "folds: 5"),
            (json!({"folds": 5}), Some(Validation), "part", "no validation part", "validation: 0.15"),
            (json!({"fold": 1, "validation": 0.1}), Some(Train), "split.fold", "of how many", "folds: 5"),
            (json!({"folds": 5, "fold": 5}), Some(Train), "split.fold", "no fold 5 among 5", "0 to 4"),
            (json!({"validation": 1.0}), Some(Train), "split.validation", "nothing to train on", "smaller share"),
            (json!({"folds": 5, "by": "group"}), Some(Train), "split.by", "needs `group`", "{child}"),
            (json!({"folds": 5, "by": "file", "group": "{child}"}), Some(Train), "split.by", "divides groups", "remove"),
            (json!({"folds": 5, "group": "{patient}"}), Some(Train), "split.group", "no capture `patient`", "child, eye"),
            (json!({"folds": 5, "group": "child"}), Some(Train), "split.group", "same for all", "in braces"),
            (json!({"folds": 5, "group": "{child"}), Some(Train), "split.group", "isn't closed", "{NAME}"),
            (json!({"folds": 5, "stratify": "{class}"}), Some(Train), "split.stratify", "no capture `class`", "diagnosis"),
        ] {
            let wrong = read(options.clone(), wanted).unwrap_err();
            assert_eq!(wrong.option, option, "{options}");
            assert!(wrong.message.contains(message) && wrong.help.contains(help), "{options}: {wrong:?}");
        }
    }

    #[test]
    fn groups_are_what_their_captures_say_and_a_name_without_them_is_named() {
        let captures = |child: &str, eye: &str| -> Captures {
            [("child".to_owned(), child.to_owned()), ("eye".to_owned(), eye.to_owned())].into()
        };
        let seen: BTreeMap<String, Captures> = (1..=10)
            .flat_map(|child: u32| ["L", "R"].map(|eye| (format!("{child}_{eye}"), captures(&child.to_string(), eye))))
            .collect();
        let part = |wanted, fold: usize| {
            let division =
                read(json!({"group": "child {child}", "folds": 5, "fold": fold, "validation": 0.25}), Some(wanted)).unwrap();
            let keeps = division.keeps(&seen).unwrap();
            seen.keys().filter(|id| keeps.holds(id)).cloned().collect::<Vec<_>>()
        };
        let [train, validation, test] = [Wanted::Train, Wanted::Validation, Wanted::Test].map(|wanted| part(wanted, 0));
        assert_eq!([train.len(), validation.len(), test.len(), part(Wanted::All, 0).len()], [12, 4, 4, 20]);
        for ids in [&train, &validation, &test] {
            assert!(ids.chunks(2).all(|eyes| eyes[0].split('_').next() == eyes[1].split('_').next()), "{ids:?}");
        }
        let mut tested: Vec<String> = (0..5).flat_map(|fold| part(Wanted::Test, fold)).collect();
        tested.sort();
        assert_eq!(tested, seen.keys().cloned().collect::<Vec<_>>(), "each sample is tested once");
        let mut seen = seen.clone();
        seen.insert("x".into(), Captures::new());
        let error = read(json!({"group": "{child}", "folds": 5}), Some(Wanted::Train)).unwrap().keeps(&seen).unwrap_err();
        assert!(error.message().contains("isn't in the names of x"), "{error}");
    }

    #[test]
    fn the_part_is_a_fact() {
        let mut facts = Facts::default();
        read(json!({"folds": 5}), Some(Wanted::All)).unwrap().set(&mut facts);
        assert!(facts.get(fact::PART).is_none());
        read(json!({"folds": 5}), Some(Wanted::Test)).unwrap().set(&mut facts);
        assert_eq!(facts.get(fact::PART).unwrap().value, "test");
    }
}
