//! `augment`: another look of the same sample in each epoch. Image and mask move together; brightness and contrast change the
//! image alone. The pixels are moved in `dihedral` and `affine`.

use pipeline_contract::{Checked, Finding, ItemContext, Map, OptionSpec, OptionType, Place, Result, Rng, StageKind};
use rand::RngExt;
use serde::Deserialize;

use crate::affine::affine;
use crate::dihedral::Dihedral;
use crate::{ImagePair, Original};

#[derive(Deserialize)]
struct Options {
    flip: bool,
    rotate90: bool,
    rotate: f32,
    scale: f32,
    brightness: f32,
    contrast: f32,
    gamma: f32,
}

/// Declares `augment`.
pub fn kind() -> StageKind {
    let number = |name, max, doc| OptionSpec::new(name, OptionType::Number { min: 0.0, max }, 0.0, doc);
    StageKind::map(
        "augment",
        "flips, rotates and recolours each sample at random, differently in each epoch",
        |options: Options, _| Ok(Augment(options)),
    )
    .option(OptionSpec::new("flip", OptionType::Bool, false, "left to right and top to bottom, each for half of the samples"))
    .option(OptionSpec::new(
        "rotate90",
        OptionType::Bool,
        false,
        "a random quarter turn; a half turn for images that aren't square",
    ))
    .option(number("rotate", 180.0, "rotates by up to this many degrees either way"))
    .option(number("scale", 0.9, "zooms by up to this share: 0.1 is 0.9 to 1.1 times"))
    .option(number("brightness", 1.0, "adds up to this, either way, to values from 0 to 1"))
    .option(number("contrast", 1.0, "multiplies values by up to this more or less: 0.2 is 0.8 to 1.2 times"))
    .option(number("gamma", 3.0, "raises values to a power of exp(-gamma) to exp(gamma)"))
    .check::<Options>(|options, inputs| {
        let mut facts = inputs.first().cloned().unwrap_or_default();
        if let Some(option) = options.moving() {
            Original::lose(&mut facts, option);
        }
        let findings = (options.changes_nothing()).then(|| {
            Finding::warning(Place::Stage, "every augmentation is off: this stage changes nothing")
                .help("set some of flip, rotate90, rotate, scale, brightness, contrast and gamma")
        });
        Checked { facts, findings: findings.into_iter().collect() }
    })
    .draws()
    .example("- {id: augment, use: augment, with: {flip: true, rotate90: true, brightness: 0.2, contrast: 0.2}}")
}

impl Options {
    /// The first option by which pixels are moved, not only recoloured.
    fn moving(&self) -> Option<&'static str> {
        let moving =
            [("flip", self.flip), ("rotate90", self.rotate90), ("rotate", self.rotate > 0.0), ("scale", self.scale > 0.0)];
        moving.into_iter().find_map(|(option, moves)| moves.then_some(option))
    }

    fn changes_nothing(&self) -> bool {
        let amounts = [self.rotate, self.scale, self.brightness, self.contrast, self.gamma];
        !self.flip && !self.rotate90 && amounts.iter().all(|&amount| amount == 0.0)
    }
}

struct Augment(Options);

/// What is drawn for one sample in one epoch. All of it is drawn, in this order, whatever the options: switching one on
/// changes nothing about the others.
struct Drawn {
    up_down: bool,
    left_right: bool,
    quarters: u32,
    /// From -1 to 1, like all that follow.
    rotate: f32,
    scale: f32,
    contrast: f32,
    brightness: f32,
    gamma: f32,
}

impl Drawn {
    fn new(rng: &mut Rng) -> Self {
        let (up_down, left_right, quarters) = (rng.random(), rng.random(), rng.random_range(0..4));
        let [rotate, scale, contrast, brightness, gamma] = std::array::from_fn(|_| rng.random::<f32>() * 2.0 - 1.0);
        Self { up_down, left_right, quarters, rotate, scale, contrast, brightness, gamma }
    }
}

impl Map for Augment {
    type In = ImagePair;
    type Out = ImagePair;

    fn map(&self, mut pair: ImagePair, cx: &ItemContext<'_>) -> Result<ImagePair> {
        let (options, drawn) = (&self.0, Drawn::new(&mut cx.rng()));
        let (height, width) = (pair.height, pair.width);
        let quarters = match (options.rotate90, height == width) {
            (false, _) => 0,
            (true, true) => drawn.quarters,
            (true, false) => drawn.quarters / 2 * 2,
        };
        let moves = Dihedral::new(options.flip && drawn.up_down, options.flip && drawn.left_right, quarters);
        moves.apply::<3>(&mut pair.image, height, width);
        moves.apply::<1>(&mut pair.mask, height, width);
        pair.original = pair.original.filter(|_| options.moving().is_none());
        if options.rotate > 0.0 || options.scale > 0.0 {
            pair = affine(&pair, (options.rotate * drawn.rotate).to_radians(), 1.0 + options.scale * drawn.scale);
        }
        if options.contrast > 0.0 || options.brightness > 0.0 || options.gamma > 0.0 {
            let table = options.table(&drawn);
            pair.image.iter_mut().for_each(|value| *value = table[usize::from(*value)]);
        }
        Ok(pair)
    }
}

impl Options {
    /// What becomes of each value of 8 bit: `(x * contrast + brightness)`, clamped to 0..1, then to the power of gamma.
    fn table(&self, drawn: &Drawn) -> [u8; 256] {
        let (factor, added) = (1.0 + self.contrast * drawn.contrast, self.brightness * drawn.brightness);
        let power = libm::expf(self.gamma * drawn.gamma);
        std::array::from_fn(|value| {
            let linear = (value as f32 / 255.0 * factor + added).clamp(0.0, 1.0);
            let value = if self.gamma > 0.0 { libm::powf(linear, power) } else { linear };
            (value * 255.0 + 0.5) as u8
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::VESSEL;
    use crate::testing::{build, context, defaults, distinct, item_context, mapped};

    fn augmented(given: Value, pair: &ImagePair, sample: &str, epoch: u64) -> ImagePair {
        mapped(&build(&kind(), given, &context()).unwrap(), pair.clone(), sample, epoch).unwrap()
    }

    #[test]
    fn choices_depend_on_sample_and_epoch_alone() {
        let pair = distinct(8, 8);
        let given = json!({"flip": true, "rotate90": true, "brightness": 0.2, "contrast": 0.2, "rotate": 5, "scale": 0.1});
        let base = augmented(given.clone(), &pair, "a", 0);
        assert_eq!(base, augmented(given.clone(), &pair, "a", 0));
        assert_ne!(base, augmented(given.clone(), &pair, "b", 0));
        assert_ne!(base, augmented(given, &pair, "a", 1));
    }

    #[test]
    fn image_and_mask_move_together_and_all_eight_looks_appear() {
        let pair = distinct(8, 8);
        let mut looks = BTreeSet::new();
        for epoch in 0..64 {
            let out = augmented(json!({"flip": true, "rotate90": true}), &pair, "a", epoch);
            assert!(out.image.chunks(3).zip(&out.mask).all(|(pixel, &mask)| 255 * (pixel[0] % 2) == mask));
            looks.insert(out.image);
        }
        assert_eq!(looks.len(), 8);
    }

    #[test]
    fn a_vessel_turns_with_its_mask() {
        // A bright line on black: after any turn and zoom, the mask lies where the image is bright.
        let mut pair = ImagePair { image: vec![0; 64 * 64 * 3], mask: vec![0; 64 * 64], ..distinct(64, 64) };
        for at in (20 * 64 + 8)..(20 * 64 + 56) {
            for row in 0..4 {
                pair.mask[at + row * 64] = 255;
                pair.image[(at + row * 64) * 3..][..3].fill(255);
            }
        }
        for epoch in 0..8 {
            let out = augmented(json!({"rotate": 90, "scale": 0.2}), &pair, "a", epoch);
            assert_ne!(out.mask, pair.mask);
            let bright: Vec<u8> = out.image.chunks(3).map(|pixel| u8::from(pixel[0] > 127)).collect();
            let differ = bright.iter().zip(&out.mask).filter(|(is, was)| **is != u8::from(**was >= VESSEL)).count();
            assert!(differ < 20 && out.mask.contains(&255), "{differ} pixels differ in epoch {epoch}");
        }
    }

    #[test]
    fn colours_follow_the_formula_and_leave_the_mask() {
        let pair = distinct(16, 16);
        for epoch in 0..5 {
            let drawn = Drawn::new(&mut item_context("a", epoch).rng());
            let out = augmented(json!({"brightness": 0.2, "contrast": 0.2}), &pair, "a", epoch);
            assert_eq!(out.mask, pair.mask);
            for (&is, &was) in out.image.iter().zip(&pair.image) {
                let expected = (f32::from(was) / 255.0 * (1.0 + 0.2 * drawn.contrast) + 0.2 * drawn.brightness).clamp(0.0, 1.0);
                assert!((f32::from(is) - expected * 255.0).abs() <= 0.51, "{was} became {is}");
            }
            let gamma = augmented(json!({"gamma": 0.5}), &pair, "a", epoch);
            let expected = (100.0_f32 / 255.0).powf((0.5 * drawn.gamma).exp()) * 255.0;
            assert!((f32::from(gamma.image[300]) - expected).abs() <= 0.51);
        }
        assert_eq!(pair.image[300], 100);
    }

    #[test]
    fn one_option_changes_nothing_about_the_others() {
        let pair = distinct(8, 8);
        let flipped = augmented(json!({"flip": true}), &pair, "a", 3);
        let both = augmented(json!({"flip": true, "brightness": 0.3}), &pair, "a", 3);
        assert_eq!(flipped.mask, both.mask);
        let colours = augmented(json!({"brightness": 0.3}), &flipped, "a", 3);
        assert_eq!(colours.image, both.image);
    }

    #[test]
    fn an_image_that_is_not_square_keeps_its_shape() {
        let pair = distinct(4, 6);
        let looks: BTreeSet<_> = (0..32).map(|epoch| augmented(json!({"rotate90": true}), &pair, "a", epoch).image).collect();
        let mut half = pair.image.clone();
        half.as_chunks_mut::<3>().0.reverse();
        assert_eq!(looks, [pair.image, half].into());
    }

    #[test]
    fn all_off_is_a_warning() {
        let findings = kind().run_check(&defaults(&kind()), &[]).unwrap().findings;
        assert_eq!(findings.len(), 1);
        assert_eq!(augmented(json!({}), &distinct(3, 5), "a", 0), distinct(3, 5));
    }
}
