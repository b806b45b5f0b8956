//! A YAML value with its place in the file. It knows neither YAML's syntax (see `yaml`) nor what the values mean.

use pipeline_contract::Severity;
use serde_json::{Map, Number, Value};

use super::characters;
use crate::diagnostic::{Diagnostic, Span};

/// The place of a value, and the place that asked for it if that is another (`${...}`, `*alias`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) span: Span,
    pub(super) via: Option<Span>,
}

impl Spot {
    pub(super) fn at(span: Span) -> Self {
        Self { span, via: None }
    }

    /// A problem with the value: points at the value, and says where it is used.
    pub(super) fn error(self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.span, message).related(self.via, "used here")
    }

    pub(super) fn diagnostic(self, severity: Severity, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity, ..self.error(message) }
    }

    /// Where the value is used: its own place unless it came from elsewhere.
    pub(super) fn site(self) -> Span {
        self.via.unwrap_or(self.span)
    }
}

/// A value and its spot.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) data: Data,
    pub(super) spot: Spot,
}

#[derive(Debug, Clone)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// A value whose problem has been reported; nothing more is said about it.
    Broken,
}

/// One key of a map.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) value: Node,
}

impl Node {
    pub(super) fn new(data: Data, span: Span) -> Self {
        Self { data, spot: Spot::at(span) }
    }

    pub(super) fn error(&self, message: impl Into<String>) -> Diagnostic {
        self.spot.error(message)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The value at a dotted path through maps.
    pub(super) fn lookup(&self, path: &str) -> Option<&Node> {
        path.split('.').try_fold(self, |node, key| node.get(key))
    }

    pub(super) fn is_broken(&self) -> bool {
        matches!(self.data, Data::Broken)
    }

    /// The value in words, for "..., found WORDS".
    pub(super) fn describe(&self) -> String {
        match &self.data {
            Data::Null => "nothing".into(),
            Data::Bool(value) => value.to_string(),
            Data::Int(value) => value.to_string(),
            Data::Float(value) => format!("{value:?}"),
            Data::Text(text) if text.is_empty() => "an empty text".into(),
            Data::Text(text) => format!("the text {}", quote(text)),
            Data::List(values) => format!("a list of {}", count(values.len(), "value")),
            Data::Map(entries) => format!("a map of {}", count(entries.len(), "key")),
            Data::Broken => "a broken value".into(),
        }
    }

    /// The value without its places. What is broken becomes null.
    pub(super) fn to_json(&self) -> Value {
        match &self.data {
            Data::Null | Data::Broken => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Int(value) => Number::from_i128(*value).map_or(Value::Null, Value::Number),
            Data::Float(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
            Data::Text(text) => Value::String(text.clone()),
            Data::List(values) => values.iter().map(Self::to_json).collect(),
            Data::Map(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect::<Map<_, _>>())
            }
        }
    }

    /// How many values it holds, itself included, and how many bytes of text.
    pub(super) fn size(&self) -> usize {
        match &self.data {
            Data::Text(text) => 1 + text.len() / 64,
            Data::List(values) => 1 + values.iter().map(Self::size).sum::<usize>(),
            Data::Map(entries) => 1 + entries.iter().map(|entry| entry.value.size()).sum::<usize>(),
            _ => 1,
        }
    }

    /// The value, used at another place.
    pub(super) fn used_at(mut self, via: Span) -> Self {
        self.spot.via = Some(via);
        self.data = match self.data {
            Data::List(values) => Data::List(values.into_iter().map(|value| value.used_at(via)).collect()),
            Data::Map(entries) => {
                Data::Map(entries.into_iter().map(|entry| Entry { value: entry.value.used_at(via), ..entry }).collect())
            }
            other => other,
        };
        self
    }
}

/// A piece of the file inside a message: in backquotes, cut where it is long, without control characters; what can't be seen as its
/// code point.
pub(super) fn quote(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown = String::new();
    for c in text.chars().take(SHOWN) {
        match c {
            c if c.is_control() => shown.extend(c.escape_debug()),
            c if characters::is_invisible(c) => shown.push_str(&format!("<{}>", characters::code(c))),
            c => shown.push(c),
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    format!("`{shown}`")
}

/// `1 value`, `2 values`
pub(super) fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}
