//! The JSON Schema accepts what the reader accepts, and refuses what a schema can see.

use super::{GOOD, broken_files, kinds, resolved};
use pipeline::schema::schema;
use serde_json::Value;

/// What only the reader can see, and why.
const BEYOND: [&str; 9] = [
    "best_metric",      // what evaluators measure
    "cycle",            // who needs whom
    "dangling_needs",   // which ids there are
    "duplicate_id",     // that ids are unique
    "duplicate_key",    // gone once the YAML is read
    "image_size",       // what stages say of each other's items
    "port_types",       // who needs whom
    "reference_bomb",   // what references lead to
    "reference_circle", // the same
];

fn yaml(text: &str) -> Option<Value> {
    // Editors read YAML 1.2 too.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::FirstWins,
    };
    serde_saphyr::from_str_with_options(text, options).ok()
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema(&kinds::registry())).unwrap()
}

#[test]
fn it_is_a_schema() {
    jsonschema::draft202012::meta::validate(&schema(&kinds::registry())).unwrap();
}

#[test]
fn it_accepts_good_files_written_and_resolved() {
    for file in [yaml(GOOD).unwrap(), resolved(GOOD, &[])] {
        let errors: Vec<String> =
            validator().iter_errors(&file).map(|error| format!("{error} at {}", error.instance_path())).collect();
        assert_eq!(errors, [""; 0]);
    }
}

#[test]
fn it_refuses_broken_files_as_far_as_a_schema_can_see() {
    let validator = validator();
    for (name, text) in broken_files() {
        let Some(file) = yaml(&text) else { continue };
        assert_eq!(validator.is_valid(&file), BEYOND.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn it_is_what_editors_expect() {
    let schema = schema(&kinds::registry());
    insta::assert_snapshot!(serde_json::to_string_pretty(&schema["$defs"]["stage"]["properties"]["use"]).unwrap());
    let resize = schema["$defs"]["stage"]["allOf"]
        .as_array()
        .unwrap()
        .iter()
        .find(|of| of["if"]["properties"]["use"]["const"] == "resize");
    insta::assert_snapshot!(serde_json::to_string_pretty(resize.unwrap()).unwrap());
}
