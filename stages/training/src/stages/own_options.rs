//! Picks the options of one of this crate's kinds out of those of another kind with the same role, which may have more.
//! Each kind declares its options in its own file.

use pipeline_contract::OptionSpec;
use serde_json::{Map, Value};

/// Returns only the declared options.
pub(super) fn own(options: &Value, declared: &[OptionSpec]) -> Value {
    let options = options.as_object().into_iter().flatten();
    let own = options.filter(|(name, _)| declared.iter().any(|option| option.name == name.as_str()));
    Value::Object(own.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use pipeline_contract::OptionType;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_declared_options_are_left() {
        let declared = [OptionSpec::optional("loss", OptionType::Text, "the loss")];
        assert_eq!(own(&json!({"loss": "bce", "teacher": "a.safetensors"}), &declared), json!({"loss": "bce"}));
        assert_eq!(own(&Value::Null, &declared), json!({}));
    }
}
