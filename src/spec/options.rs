//! Checks values against the options that a kind declares, fills in the defaults, and remembers the place of each value.
//! The messages for values that don't fit are in `misfit`.

use std::collections::HashMap;

use pipeline_contract::{DefaultValue, OptionSpec, OptionType, Variant};
use serde_json::{Map, Value};

use super::amounts;
use super::misfit;
use super::node::{Data, Entry, Node, Spot, count, quote};
use super::paths;
use super::references::Used;
use super::suggest;
use crate::diagnostic::{Diagnostic, Span};

/// Where each option's value stands, by its dotted path.
pub(super) type Places = HashMap<String, Spot>;

/// The owner of the options, as messages name it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner<'a> {
    /// The options of the stage with this id.
    Stage(&'a str),
    /// The keys of this block of the file.
    Block(&'a str),
    /// The keys at the top of the file.
    File,
    /// This key of the file, which is the default of an option.
    Key(&'a str),
}

impl Owner<'_> {
    pub(super) fn name(self, path: &str) -> String {
        match self {
            Self::Stage(id) if path.is_empty() => quote(id),
            Self::Stage(id) => format!("{} of {}", quote(path), quote(id)),
            Self::Block(block) if path.is_empty() => quote(block),
            Self::Block(block) => quote(&format!("{block}.{path}")),
            Self::File => quote(path),
            Self::Key(key) => quote(key),
        }
    }
}

/// Checks the options of one owner.
pub(super) struct Checker<'a> {
    /// The file, references filled in: some defaults are keys of it.
    pub(super) root: &'a Node,
    pub(super) owner: Owner<'a>,
    pub(super) problems: &'a mut Vec<Diagnostic>,
    pub(super) used: &'a mut Used,
    pub(super) places: Places,
}

impl Checker<'_> {
    /// Checks a group of options; `None` if any doesn't fit. `at` is where a missing one is reported.
    pub(super) fn group(&mut self, specs: &[OptionSpec], given: &[Entry], at: Span, path: &str) -> Option<Map<String, Value>> {
        let unknown = self.unknown(specs, given, path);
        // An option that is missing because it is misspelt has been reported.
        let missed = |spec: &&OptionSpec| spec.default != DefaultValue::Required || !unknown.contains(&Some(spec.name));
        let specs: Vec<OptionSpec> = specs.iter().filter(missed).cloned().collect();
        self.known(&specs, given, at, path).filter(|_| unknown.is_empty())
    }

    /// Checks the options that are declared, and lets others be.
    pub(super) fn known(&mut self, specs: &[OptionSpec], given: &[Entry], at: Span, path: &str) -> Option<Map<String, Value>> {
        let mut values = Map::new();
        let mut sound = true;
        for spec in specs {
            let inner = join(path, spec.name);
            let entry = given.iter().find(|entry| entry.key == spec.name);
            // Null means no value, which only an option without a default accepts.
            let is_null = entry.is_some_and(|entry| matches!(entry.value.data, Data::Null));
            let value = match entry {
                Some(entry) if !(is_null && spec.default == DefaultValue::Absent) => {
                    self.value(&spec.ty, &entry.value, &inner).map(Some)
                }
                _ => self.default(spec, at, &inner, path),
            };
            match value {
                Some(Some(value)) => drop(values.insert(spec.name.into(), value)),
                Some(None) => {}
                None => sound = false,
            }
        }
        sound.then_some(values)
    }

    /// Reports what isn't an option; for each the option that was probably meant.
    fn unknown(&mut self, specs: &[OptionSpec], given: &[Entry], path: &str) -> Vec<Option<&'static str>> {
        let names: Vec<&'static str> = specs.iter().map(|spec| spec.name).collect();
        let mut meant = Vec::new();
        for entry in given.iter().filter(|entry| !names.contains(&entry.key.as_str())) {
            let message = format!("{} has no option {}", self.owner.name(path), quote(&entry.key));
            let problem = Diagnostic::error(entry.key_span, message).related(entry.value.spot.via, "used here");
            self.problems.push(problem.help(suggest::help(&entry.key, &names, "its options are")));
            let near = suggest::nearest(&entry.key, names.iter().copied());
            meant.push(near.filter(|name| given.iter().all(|entry| entry.key != *name)));
        }
        meant
    }

    /// `None`: a problem; `Some(None)`: the option is left out.
    fn default(&mut self, spec: &OptionSpec, at: Span, inner: &str, path: &str) -> Option<Option<Value>> {
        match &spec.default {
            DefaultValue::Value(value) => Some(Some(value.clone())),
            DefaultValue::Absent => Some(None),
            DefaultValue::Required => {
                let message = format!("{} needs {}", self.owner.name(path), quote(spec.name));
                let help = format!("add `{}: ...`, {}: {}", spec.name, spec.ty.describe(), spec.doc);
                self.problems.push(Diagnostic::error(at, message).help(help));
                None
            }
            DefaultValue::Key(key, otherwise) => {
                // A null is read too: it asks for what holds without the key.
                self.used.insert((*key).to_owned());
                let Some(node) = self.root.lookup(key).filter(|node| !matches!(node.data, Data::Null)) else {
                    return Some(Some(otherwise.clone()));
                };
                let owner = std::mem::replace(&mut self.owner, Owner::Key(key));
                let value = self.value(&spec.ty, node, inner);
                self.owner = owner;
                value.map(Some)
            }
        }
    }

    /// Checks one value; nothing if it doesn't fit.
    pub(super) fn value(&mut self, ty: &OptionType, node: &Node, path: &str) -> Option<Value> {
        self.places.insert(path.to_owned(), node.spot);
        if node.is_broken() {
            return None;
        }
        let fits = match (ty, &node.data) {
            (OptionType::Bool, Data::Bool(value)) => Some(Value::Bool(*value)),
            (OptionType::Integer { min, max }, Data::Int(value)) => {
                (*value >= i128::from(*min) && *value <= i128::from(*max)).then(|| node.to_json())
            }
            (OptionType::Number { min, max }, Data::Int(value)) => within(*value as f64, *min, *max).then(|| node.to_json()),
            (OptionType::Number { min, max }, Data::Float(value)) => within(*value, *min, *max).then(|| node.to_json()),
            (OptionType::Text, Data::Text(text)) => Some(Value::from(text.as_str())),
            (OptionType::Path, Data::Text(text)) => {
                (!text.is_empty() && !text.contains('\0')).then(|| Value::from(text.as_str()))
            }
            (OptionType::Choice(words), Data::Text(text)) => words.contains(&text.as_str()).then(|| Value::from(text.as_str())),
            (OptionType::Bytes, Data::Int(value)) => i64::try_from(*value).ok().filter(|bytes| *bytes >= 0).map(Value::from),
            (OptionType::Bytes, Data::Text(text)) => amounts::parse(text).ok().map(Value::from),
            (OptionType::List { of, min, max }, Data::List(values)) if (*min..=*max).contains(&values.len()) => {
                return self.list(of, values, path);
            }
            (OptionType::Map { of, min, max }, Data::Map(entries)) if (*min..=*max).contains(&entries.len()) => {
                return self.map(of, entries, path);
            }
            (OptionType::AnyOf(types), _) => return self.any_of(types, ty, node, path),
            (OptionType::Variant(variants), Data::Text(_) | Data::Map(_)) => return self.variant(variants, ty, node, path),
            (OptionType::Group(specs), Data::Map(entries)) => {
                return self.group(specs, entries, node.spot.site(), path).map(Value::Object);
            }
            _ => None,
        };
        if let (OptionType::Path, Data::Text(text), Some(_)) = (ty, &node.data, &fits)
            && let Some((severity, message, help)) = paths::doubt(text)
        {
            let problem = node.spot.diagnostic(severity, format!("{} {message}", self.owner.name(path))).help(help);
            let failed = problem.is_error();
            self.problems.push(problem);
            return fits.filter(|_| !failed);
        }
        if fits.is_none() {
            self.problems.push(misfit::explain(ty, node, &self.owner.name(path)));
        }
        fits
    }

    fn list(&mut self, of: &OptionType, values: &[Node], path: &str) -> Option<Value> {
        let checked: Vec<_> =
            values.iter().enumerate().map(|(at, value)| self.value(of, value, &join(path, &at.to_string()))).collect();
        checked.into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
    }

    fn map(&mut self, of: &OptionType, entries: &[Entry], path: &str) -> Option<Value> {
        let checked: Vec<_> = entries
            .iter()
            .map(|entry| Some((entry.key.clone(), self.value(of, &entry.value, &join(path, &entry.key))?)))
            .collect();
        checked.into_iter().collect::<Option<Map<_, _>>>().map(Value::Object)
    }

    fn any_of(&mut self, types: &[OptionType], ty: &OptionType, node: &Node, path: &str) -> Option<Value> {
        let before = self.problems.len();
        let mut of_this_shape = Vec::new();
        for alternative in types {
            if let Some(value) = self.value(alternative, node, path) {
                self.problems.truncate(before);
                return Some(value);
            }
            let attempt = self.problems.split_off(before);
            if misfit::same_shape(alternative, node) && !matches!(alternative, OptionType::Choice(_)) {
                of_this_shape.push(attempt);
            }
        }
        match of_this_shape.len() {
            // Only one alternative can have been meant, so what is wrong with it is said in full.
            1 => self.problems.extend(of_this_shape.into_iter().flatten()),
            _ => self.problems.push(misfit::explain(ty, node, &self.owner.name(path))),
        }
        None
    }

    fn variant(&mut self, variants: &[Variant], ty: &OptionType, node: &Node, path: &str) -> Option<Value> {
        let (name, place, given) = match &node.data {
            Data::Text(name) => (name.as_str(), node.spot, None),
            _ => match node.entries() {
                [entry] => (entry.key.as_str(), Spot { span: entry.key_span, via: node.spot.via }, Some(&entry.value)),
                entries => {
                    let message = format!(
                        "{} must name exactly one of its variants, found {}",
                        self.owner.name(path),
                        count(entries.len(), "key")
                    );
                    self.problems.push(node.error(message).help(format!("keep {}, with its options under it", ty.describe())));
                    return None;
                }
            },
        };
        let Some(variant) = variants.iter().find(|variant| variant.name == name) else {
            let names: Vec<&str> = variants.iter().map(|variant| variant.name).collect();
            let message = format!("{} must be {}, found {}", self.owner.name(path), ty.describe(), quote(name));
            self.problems.push(place.error(message).help(suggest::help(name, &names, "the variants are")));
            return None;
        };
        let inner = join(path, name);
        let entries = match given.map(|value| (value, &value.data)) {
            None | Some((_, Data::Null)) => &[],
            Some((_, Data::Map(entries))) => entries.as_slice(),
            Some((_, Data::Broken)) => return None,
            Some((value, _)) => {
                let message = format!("{} takes a map of options, found {}", self.owner.name(&inner), value.describe());
                self.problems.push(value.error(message).help(misfit::options_in_words(&variant.options)));
                return None;
            }
        };
        self.places.insert(inner.clone(), place);
        let options = self.group(&variant.options, entries, place.site(), &inner)?;
        Some(Value::Object(Map::from_iter([(name.to_owned(), Value::Object(options))])))
    }
}

fn within(value: f64, min: f64, max: f64) -> bool {
    value.is_finite() && value >= min && value <= max
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
