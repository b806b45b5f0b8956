//! YAML text to a tree of values with places, within limits of depth, size and aliases. It doesn't know what
//! the values mean; `syntax` writes the messages for errors of syntax.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::NonFiniteFloatPolicy;
use serde_saphyr::{DuplicateKeyPolicy, Location, Options, Spanned};

use super::limits::{DEEPEST, MOST_VALUES};
use super::misfit;
use super::node::{Data, Entry, Node, Spot, quote};
use super::syntax;
use crate::diagnostic::{Diagnostic, Span};

/// Parses one YAML document, which starts at byte `base` of text number `text` of the source.
///
/// What can be ignored (a key given twice) goes to `problems`.
///
/// # Errors
/// The first error of syntax: nothing after it can be trusted.
pub(super) fn parse(yaml: &str, text: usize, base: usize, problems: &mut Vec<Diagnostic>) -> Result<Node, Diagnostic> {
    let reader = Reader { yaml, text, base };
    match serde_saphyr::from_str_with_options::<Raw>(yaml, options()) {
        Ok(root) => Ok(reader.node(root, problems)),
        Err(error) => Err(syntax::explain(&error, yaml, |range| reader.span(range.start, range.end))),
    }
}

fn options() -> Options {
    serde_saphyr::options! {
        // YAML 1.2: `no`, `yes`, `on`, `off` are text, 007 and 1_000 are not the numbers that they look like.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        // Found in the tree below, so that they are reported with everything else.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
        emit_comments: false,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST,
            flow_nesting_limit: DEEPEST,
            max_nodes: MOST_VALUES,
            max_events: 4 * MOST_VALUES,
            max_aliases: 1_000,
            max_anchors: 1_000,
        },
    }
}

/// A value as serde-saphyr gives it.
type Raw = Spanned<RawData>;

enum RawData {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Raw>),
    Map(Vec<(Raw, Raw)>),
}

impl<'de> Deserialize<'de> for RawData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = RawData;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<RawData, E> {
        Ok(RawData::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawData, E> {
        Ok(RawData::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<RawData, E> {
        Ok(RawData::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<RawData, E> {
        Ok(RawData::Int(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<RawData, E> {
        Ok(RawData::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<RawData, E> {
        Ok(RawData::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<RawData, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element()? {
            values.push(value);
        }
        Ok(RawData::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<RawData, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(RawData::Map(entries))
    }
}

struct Reader<'a> {
    yaml: &'a str,
    text: usize,
    base: usize,
}

impl Reader<'_> {
    fn span(&self, start: usize, end: usize) -> Span {
        Span { text: self.text, start: self.base + start, end: self.base + end }
    }

    fn place(&self, location: &Location) -> Span {
        let bytes = syntax::bytes(location, self.yaml);
        self.span(bytes.start, bytes.end)
    }

    fn spot(&self, referenced: &Location, defined: &Location) -> Spot {
        Spot { span: self.place(defined), via: (referenced != defined).then(|| self.place(referenced)) }
    }

    fn node(&self, raw: Raw, problems: &mut Vec<Diagnostic>) -> Node {
        let mut spot = self.spot(&raw.referenced, &raw.defined);
        let data = match raw.value {
            RawData::Null => Data::Null,
            RawData::Bool(value) => Data::Bool(value),
            RawData::Int(value) => Data::Int(value),
            RawData::Float(value) if value.is_finite() => Data::Float(value),
            RawData::Float(_) => {
                problems.push(spot.error("only finite numbers can be used here").help("leave the key out to use the default"));
                Data::Broken
            }
            RawData::Text(text) => Data::Text(text),
            RawData::List(values) => Data::List(values.into_iter().map(|value| self.node(value, problems)).collect()),
            RawData::Map(entries) => Data::Map(self.entries(entries, problems)),
        };
        spot.span.end = spot.span.end.max(self.end(&data, spot));
        Node { data, spot }
    }

    fn entries(&self, raw: Vec<(Raw, Raw)>, problems: &mut Vec<Diagnostic>) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::with_capacity(raw.len());
        let mut seen: HashMap<String, Span> = HashMap::new();
        for (key, value) in raw {
            let key = self.node(key, problems);
            let value = self.node(value, problems);
            let key_span = key.spot.span;
            let name = match key.data {
                Data::Text(text) => text,
                Data::Bool(_) | Data::Int(_) | Data::Float(_) => key.describe(),
                _ => {
                    problems.push(key.error(format!("a key must be text, found {}", key.describe())));
                    continue;
                }
            };
            if let (Some(before), Data::Null) = (entries.last_mut(), &value.data)
                && let Some(problem) = self.decimal_comma(before, key_span)
            {
                problems.push(problem);
                before.value.data = Data::Broken;
                continue;
            }
            if let Some(first) = seen.get(&name) {
                let problem = Diagnostic::error(key_span, format!("the key {} is given twice", quote(&name)));
                problems.push(problem.related(Some(*first), "first given here").help("keep one of them"));
                continue;
            }
            seen.insert(name.clone(), key_span);
            entries.push(Entry { key: name, key_span, value });
        }
        entries
    }

    /// The problem of `{lr: 0,001}`, which is two keys to YAML: `lr: 0` and `001`, the latter at `key`.
    fn decimal_comma(&self, before: &Entry, key: Span) -> Option<Diagnostic> {
        let value = before.value.spot.span;
        if before.value.spot.via.is_some() || value.text != key.text || value.end >= key.start {
            return None;
        }
        let written = self.yaml.get(value.start.checked_sub(self.base)?..key.end.checked_sub(self.base)?)?;
        let number = misfit::decimal_comma(&written.replace(' ', ""))?;
        let problem = Diagnostic::error(
            Span { end: key.end, ..value },
            format!("inside {{...}} the comma ends the value of {}", quote(&before.key)),
        );
        Some(problem.help(format!("the decimal mark is a point: write `{number}`")))
    }

    /// Where a list or map ends: after its last value and, if it has one, its bracket. The parser only says where it starts.
    fn end(&self, data: &Data, spot: Spot) -> usize {
        let span = spot.span;
        // Inside of what an alias repeats, everything counts where it is defined.
        let inner = |node: &Node| if spot.via.is_some() { node.spot.span.end } else { node.spot.site().end };
        let keyed = |entry: &Entry| inner(&entry.value).max(entry.key_span.end);
        let last = match data {
            Data::List(values) => values.iter().map(inner).max(),
            Data::Map(entries) => entries.iter().map(keyed).max(),
            _ => return span.end,
        };
        let Some(rest) = self.yaml.get(last.unwrap_or(span.end).max(span.end) - self.base..) else { return span.end };
        let after = self.base + self.yaml.len() - rest.len();
        let closed = self.yaml.get(span.start - self.base..).is_some_and(|text| text.starts_with(['{', '[']));
        match rest.find(|c: char| !c.is_whitespace() && c != ',') {
            Some(at) if closed && rest[at..].starts_with(['}', ']']) => after + at + 1,
            _ => after,
        }
    }
}
