//! What is known about items before anything runs (their height, their batch size), and what a kind finds wrong with it.

use std::collections::BTreeMap;

use serde_json::Value;

/// One thing known about the items on an edge, and which option of which stage settled it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// The value, such as 512 for `height`.
    pub value: Value,
    /// The id of the stage that settled it; filled in by the validation.
    pub stage: String,
    /// The option of that stage that settled it.
    pub option: String,
}

/// What is known about the items on an edge, by the names in [`fact`](crate::fact).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts(BTreeMap<String, Fact>);

impl Facts {
    /// Sets a fact that an option of the current stage settles.
    pub fn set(&mut self, name: &str, value: impl Into<Value>, option: &str) {
        self.0.insert(name.into(), Fact { value: value.into(), stage: String::new(), option: option.into() });
    }

    /// Forgets a fact, because this stage makes it vary from item to item.
    pub fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// A fact with its origin.
    pub fn get(&self, name: &str) -> Option<&Fact> {
        self.0.get(name)
    }

    /// A fact that is a whole number.
    pub fn integer(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.value.as_u64()
    }

    /// All facts with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Fact)> {
        self.0.iter().map(|(name, fact)| (name.as_str(), fact))
    }

    /// Writes the current stage's id into the facts that it settled.
    pub fn attribute(&mut self, stage: &str) {
        self.0.values_mut().filter(|fact| fact.stage.is_empty()).for_each(|fact| fact.stage = stage.into());
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file can't run.
    Error,
    /// The file runs, but probably not as meant.
    Warning,
}

/// Where in the file a finding points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The stage as a whole.
    Stage,
    /// One of the stage's options, by its dotted path (`model.unet.depth`).
    Option(String),
    /// The option, of this stage or of one before it, that settled a fact of input `input`.
    Fact {
        /// Which input port's facts.
        input: usize,
        /// The fact's name.
        name: String,
    },
}

/// Something that a kind finds wrong with its options or with what flows in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where it points.
    pub place: Place,
    /// What is wrong, a lowercase fragment.
    pub message: String,
    /// How to fix it.
    pub help: Option<String>,
}

impl Finding {
    /// A problem that keeps the file from running.
    pub fn error(place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, place, message: message.into(), help: None }
    }

    /// Something that runs, but probably not as meant.
    pub fn warning(place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, place, message: message.into(), help: None }
    }

    /// Adds how to fix it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What a kind says about its options and inputs: what is known of its output, and what is wrong.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// What is known of the items that this stage emits.
    pub facts: Facts,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// Nothing wrong, and the output is as the facts say.
    pub fn facts(facts: Facts) -> Self {
        Self { facts, findings: Vec::new() }
    }
}
