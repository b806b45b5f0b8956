//! Sources of image and mask pairs, and the stages that prepare them: plain buffers in, plain buffers out, no device.
//!
//! One file per stage kind, each with its declaration (`kind()`), its options and its running stage; [`kinds`] lists them.
//! Files without a kind hold what several of them share. [`panel`], [`class_panel`], [`stack`] and [`contact_sheet`] draw pictures for
//! other crates; [`Classes`] is what a mask's numbers stand for; [`decode`] reads a pair that isn't on the disk;
//! [`field_of_view`] finds the photograph's disc.

#![cfg_attr(test, expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod assign;
mod augment;
mod batch;
mod cache;
mod class_panel;
mod classes;
mod crop;
mod cut;
mod decode;
mod division;
mod exclude;
mod field_file;
mod field_of_view;
mod fingerprint;
mod fives;
mod folder;
mod form;
mod found;
mod frames;
mod fundus;
mod gather;
mod gif_frame;
mod guard;
mod gzip;
mod image_pairs;
mod jpeg;
mod keeps;
mod labels;
mod legend;
mod letters;
mod listing;
mod mix;
#[cfg(test)]
mod names;
mod noise;
mod normalize;
mod open;
mod overlay;
mod pair_rules;
mod pairing;
mod palette;
mod panel;
mod pattern;
mod payload;
mod photographs;
mod plausible;
mod png;
mod preview;
mod problems;
mod read;
#[cfg(test)]
mod reported;
mod resize;
mod sample_set;
mod search;
mod select;
mod sheet;
mod split;
mod stamp;
mod strokes;
mod synthetic_fundus;
mod template;
#[cfg(test)]
mod testing;
mod tiff;
mod told;
mod values;
mod vessels;

pub use class_panel::{class_legend, class_panel};
pub use classes::{Classes, IGNORED};
pub use cut::{Beyond, cut};
pub use decode::decode;
pub use field_of_view::field_of_view;
pub use fundus::draw;
pub use overlay::overlay;
pub use palette::colour as class_colour;
pub use panel::{panel, stack};
pub use payload::{Batch, ImagePair, MaskKind, Normalization, Original, OwnPixels, SampleFiles, VESSEL};
pub use photographs::{Listed, Photograph, given as given_photographs, list as list_photographs, size as photograph_size};
pub use resize::{Filter, Fit, Resized};
pub use sample_set::{SampleSet, write_sample_set};
pub use sheet::{contact_sheet, thumbnail, thumbnail_side};
pub use values::height_width;

use pipeline_contract::StageKind;

/// The stage kinds of this crate.
pub fn kinds() -> Vec<StageKind> {
    vec![
        fives::kind(),
        image_pairs::kind(),
        synthetic_fundus::kind(),
        mix::kind(),
        photographs::kind(),
        decode::kind(),
        resize::kind(),
        cache::kind(),
        crop::kind(),
        augment::kind(),
        normalize::kind(),
        batch::kind(),
        preview::kind(),
    ]
}

#[cfg(test)]
mod tests {
    use pipeline_contract::{DefaultValue, Facts, OptionSpec, OptionType};
    use serde_json::{Map, Value, json};

    use crate::testing::defaults;

    /// A value that the type allows, for options that the file must give.
    fn some(ty: &OptionType) -> Value {
        match ty {
            OptionType::Bool => true.into(),
            OptionType::Integer { min, .. } => (*min).max(1).into(),
            OptionType::Number { min, .. } => (*min).max(0.0).into(),
            OptionType::Text | OptionType::Path => "{id}.png".into(),
            OptionType::Choice(words) => words[0].into(),
            OptionType::AnyOf(types) => some(&types[0]),
            OptionType::Map { of, min, .. } => {
                (0..*min).map(|at| (format!("name{at}"), some(of))).collect::<Map<_, _>>().into()
            }
            OptionType::Group(options) => all(options),
            OptionType::Variant(variants) => json!({variants[0].name: all(&variants[0].options)}),
            other => panic!("no option of this crate is required and of type {other:?}"),
        }
    }

    /// A value for each option that the file must give, and the others' defaults.
    fn all(options: &[OptionSpec]) -> Value {
        let value = |option: &OptionSpec| match &option.default {
            DefaultValue::Value(value) | DefaultValue::Key(_, value) => Some(value.clone()),
            DefaultValue::Required => Some(some(&option.ty)),
            DefaultValue::Absent => None,
        };
        options.iter().filter_map(|option| Some((option.name.to_owned(), value(option)?))).collect::<Map<_, _>>().into()
    }

    #[test]
    fn the_default_options_of_every_kind_deserialise() {
        for kind in crate::kinds() {
            let mut options = defaults(&kind);
            for option in kind.options.iter().filter(|option| option.default == DefaultValue::Required) {
                options[option.name] = some(&option.ty);
            }
            kind.run_check(&options, &[Facts::default()]).unwrap_or_else(|error| panic!("{}: {error}", kind.name));
        }
    }

    #[test]
    fn every_kind_is_documented_and_its_example_names_it_and_its_options() {
        for kind in crate::kinds() {
            assert!(!kind.doc.is_empty() && kind.options.iter().all(|option| !option.doc.is_empty()), "{}", kind.name);
            let entries: Vec<Value> = serde_saphyr::from_str(kind.example).expect(kind.name);
            assert_eq!(entries.len(), 1, "{}", kind.name);
            assert_eq!(entries[0]["use"], kind.name);
            let mut options = defaults(&kind);
            for (name, value) in entries[0]["with"].as_object().into_iter().flatten() {
                assert!(kind.options.iter().any(|option| option.name == name), "{} has no option {name}", kind.name);
                options[name] = value.clone();
            }
            let checked =
                kind.run_check(&options, &[Facts::default()]).unwrap_or_else(|error| panic!("{}: {error}", kind.name));
            assert!(checked.findings.is_empty(), "{}: {:?}", kind.name, checked.findings);
        }
    }
}
