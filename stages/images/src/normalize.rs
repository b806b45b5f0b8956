//! `normalize`: records mean and standard deviation. The pixels stay 8 bit here; they become floats on the device.

use pipeline_contract::{Checked, Finding, ItemContext, Map, OptionSpec, OptionType, Place, Result, StageKind, fact};
use serde::Deserialize;
use serde_json::json;

use crate::{ImagePair, Normalization};

#[derive(Deserialize)]
struct Options {
    mean: [f32; 3],
    std: [f32; 3],
}

/// Declares `normalize`. The defaults are the figures of ImageNet, which pretrained encoders expect.
pub fn kind() -> StageKind {
    let three = |min| OptionType::List { of: Box::new(OptionType::Number { min, max: 10.0 }), min: 3, max: 3 };
    StageKind::map("normalize", "shifts and scales each colour to a common mean and spread", |options: Options, _| {
        Ok(Normalize(Normalization { mean: options.mean, std: options.std }))
    })
    .option(OptionSpec::new(
        "mean",
        three(-10.0),
        vec![0.485, 0.456, 0.406],
        "mean of red, green and blue, of values from 0 to 1",
    ))
    .option(OptionSpec::new(
        "std",
        three(1e-6),
        vec![0.229, 0.224, 0.225],
        "standard deviation of red, green and blue, of values from 0 to 1",
    ))
    .check::<Options>(|options, inputs| {
        let mut facts = inputs.first().cloned().unwrap_or_default();
        let findings = facts.get(fact::NORMALIZED).map(|_| {
            Finding::error(Place::Fact { input: 0, name: fact::NORMALIZED.into() }, "the images are already normalised")
                .help("remove one of the two `normalize` stages")
        });
        let findings = findings.into_iter().collect();
        facts.set(fact::NORMALIZED, json!({"mean": options.mean, "std": options.std}), "mean");
        Checked { facts, findings }
    })
    .example("- {id: normalize, use: normalize, with: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}}")
}

struct Normalize(Normalization);

impl Map for Normalize {
    type In = ImagePair;
    type Out = ImagePair;

    fn map(&self, pair: ImagePair, _: &ItemContext<'_>) -> Result<ImagePair> {
        Ok(ImagePair { normalization: self.0, ..pair })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, context, defaults, distinct, mapped};

    #[test]
    fn it_is_recorded_and_the_pixels_stay() {
        let stage = build(&kind(), json!({"mean": [0.5, 0.4, 0.3]}), &context()).unwrap();
        let out: ImagePair = mapped(&stage, distinct(2, 3), "a", 0).unwrap();
        assert_eq!(out.normalization, Normalization { mean: [0.5, 0.4, 0.3], std: [0.229, 0.224, 0.225] });
        assert_eq!(out.image, distinct(2, 3).image);
    }

    #[test]
    fn twice_is_an_error() {
        let once = kind().run_check(&defaults(&kind()), &[]).unwrap();
        assert!(once.findings.is_empty());
        let twice = kind().run_check(&defaults(&kind()), &[once.facts]).unwrap();
        assert_eq!(twice.findings[0].place, Place::Fact { input: 0, name: fact::NORMALIZED.into() });
    }
}
