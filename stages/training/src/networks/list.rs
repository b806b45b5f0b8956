//! The networks that files can name.

use std::sync::{Mutex, PoisonError};

use pipeline_contract::{DefaultValue, OptionSpec, Result, StageError, Variant};
use serde_json::{Map, Value};

use super::kind::NetworkKind;
use super::{frunet, resunet, unet, wnet};
use crate::network::Network;

/// User-defined networks.
static REGISTERED: Mutex<Vec<NetworkKind>> = Mutex::new(Vec::new());

/// Adds a network that files can name from now on. Call it before the stage kinds are listed.
///
/// # Errors
/// When a network of this name already exists.
pub fn register(kind: NetworkKind) -> Result<()> {
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    if builtin().iter().chain(&*registered).any(|known| known.name == kind.name) {
        return Err(StageError::new(format!("there is a network named {:?}", kind.name)).help("take another name"));
    }
    registered.push(kind);
    Ok(())
}

fn builtin() -> Vec<NetworkKind> {
    vec![unet::kind(), resunet::kind(), wnet::kind(), frunet::kind()]
}

/// All networks that files can name.
pub fn all() -> Vec<NetworkKind> {
    let registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    builtin().into_iter().chain(registered.iter().cloned()).collect()
}

/// The same as variants of the option `model`.
pub(crate) fn variants() -> Vec<Variant> {
    all().iter().map(NetworkKind::variant).collect()
}

/// The model for a file that names none: a U-Net with its defaults.
pub(crate) fn standard() -> Value {
    let kind = unet::kind();
    Value::Object(Map::from_iter([(kind.name.to_owned(), Value::Object(defaults(&kind)))]))
}

fn defaults(kind: &NetworkKind) -> Map<String, Value> {
    let default = |option: &OptionSpec| match &option.default {
        DefaultValue::Value(value) => Some((option.name.to_owned(), value.clone())),
        _ => None,
    };
    kind.options.iter().filter_map(default).collect()
}

/// The network with this name and some of its options; the others take their defaults.
///
/// # Errors
/// When no network has this name, it has no such option, or its options are inconsistent.
pub(crate) fn build_with(name: &str, given: Map<String, Value>) -> Result<Network> {
    find(name)?.build(&Value::Object(options(name, given)?))
}

/// All options of the network with this name, from some of them; the others take their defaults.
///
/// # Errors
/// When no network has this name, or it has no such option.
pub(crate) fn options(name: &str, given: Map<String, Value>) -> Result<Map<String, Value>> {
    let mut options = defaults(&find(name)?);
    for (option, value) in given {
        let slot = options.get_mut(&option).ok_or_else(|| StageError::new(format!("{name} has no option {option}")))?;
        *slot = value;
    }
    Ok(options)
}

fn find(name: &str) -> Result<NetworkKind> {
    let kinds = all();
    kinds.iter().find(|network| network.name == name).cloned().ok_or_else(|| {
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
        StageError::new(format!("there is no network named {name:?}")).help(format!("one of {}", names.join(", ")))
    })
}

/// The network for a checked option `model`: its name with its options.
///
/// # Errors
/// When no network has this name, or its options are inconsistent.
pub fn build(model: &Value) -> Result<Network> {
    let given = model.as_object().and_then(|model| model.iter().next());
    let (name, options) = given.ok_or_else(|| StageError::new("a model is a name with options"))?;
    find(name)?.build(options)
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "tests may panic")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_norm_over_several_maps_must_divide_their_channels() {
        let build = |base: u64| {
            build_with("resunet", Map::from_iter([("base".to_owned(), json!(base)), ("depth".to_owned(), json!(3))]))
        };
        // A decoder's first norm is over 4 + 8 channels.
        let error = build(4).expect_err("8 groups of 12 channels");
        assert!(error.message().contains("12 channels into 8 groups"), "{error}");
        build(8).expect("8 groups of 24 channels");
    }
}
