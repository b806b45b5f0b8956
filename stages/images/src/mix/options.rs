//! The options of `mix`: which sources with which options of their own. Lists no samples.

use pipeline_contract::{Checked, Registry, Result, StageError, StageKind};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::{Map, Value};

use super::order::Order;
use crate::exclude::{Exclude, Excluded};
use crate::values::in_order;
use crate::{fives, image_pairs, synthetic_fundus};

/// The kinds that can be mixed.
pub(crate) fn sources() -> [StageKind; 3] {
    [fives::kind(), image_pairs::kind(), synthetic_fundus::kind()]
}

/// The options as the file gives them.
#[derive(serde::Deserialize)]
pub(crate) struct Options {
    pub(crate) order: Order,
    pub(crate) shuffle: bool,
    #[serde(default)]
    pub(crate) epoch: Option<usize>,
    pub(crate) exclude: Exclude,
    #[serde(deserialize_with = "in_order")]
    pub(crate) sources: Option<Vec<(String, Given)>>,
}

/// One source.
#[derive(serde::Deserialize)]
pub(crate) struct Given {
    #[serde(default)]
    pub(crate) weight: Option<f64>,
    pub(crate) from: From,
}

/// A source's kind and its options.
#[derive(Clone)]
pub(crate) struct From {
    pub(crate) kind: String,
    pub(crate) options: Map<String, Value>,
}

impl<'de> Deserialize<'de> for From {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        match Map::deserialize(from)?.into_iter().next() {
            Some((kind, Value::Object(options))) => Ok(Self { kind, options }),
            _ => Err(D::Error::custom("a source is the name of a kind with its options")),
        }
    }
}

impl From {
    /// The dotted path of its options.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("sources.{name}.from.{}", self.kind)
    }

    /// Its kind.
    ///
    /// # Errors
    /// When no kind of this name can be mixed.
    pub(crate) fn kind(&self) -> Result<StageKind> {
        let kinds = Registry::new().with_all(sources());
        kinds.get(&self.kind).cloned().ok_or_else(|| StageError::new(format!("`{}` can't be mixed", self.kind)))
    }

    /// Its options as its kind takes them, without the samples that are `excluded`. It never shuffles.
    pub(crate) fn plain(&self, kind: &StageKind, excluded: &Excluded) -> Value {
        let mut options = self.options.clone();
        options.insert("shuffle".into(), false.into());
        if kind.options.iter().any(|option| option.name == "exclude") {
            options.insert("exclude".into(), excluded.names().collect());
        }
        Value::Object(options)
    }

    /// What its kind says of its options.
    pub(crate) fn check(&self) -> Result<Checked> {
        let kind = self.kind()?;
        kind.run_check(&self.plain(&kind, &Excluded::default()), &[])
    }
}

impl Options {
    /// The sources by name, in the file's order.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&str, &Given)> {
        self.sources.iter().flatten().map(|(name, given)| (name.as_str(), given))
    }

    /// The sources' weights.
    pub(crate) fn weights(&self) -> Vec<f64> {
        self.sources().map(|(_, given)| given.weight.unwrap_or(1.0)).collect()
    }

    /// That a source would have no sample in an epoch of `samples`.
    pub(crate) fn no_share(&self, name: &str, samples: usize) -> String {
        let weight = self.sources().find(|(other, _)| *other == name).and_then(|(_, given)| given.weight).unwrap_or(1.0);
        let sum: f64 = self.weights().iter().sum();
        format!("a weight of {weight} among {sum} gives `{name}` none of the {samples} samples of an epoch")
    }

    /// How to give it some.
    pub(crate) const MORE: &str = "raise its weight, or `epoch`";
}
