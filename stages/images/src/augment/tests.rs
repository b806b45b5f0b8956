//! The stage as a whole.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::testing::{build, context, defaults, distinct, item_context, mapped};
use crate::{MaskKind, VESSEL};

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

/// What pairs of a few sizes become, as SHA-256 of image and mask in turn.
fn digest(given: &Value, kind_of_mask: MaskKind) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for (height, width) in [(33, 33), (24, 40), (1, 1), (1, 9), (7, 5)] {
        for (sample, epoch) in [("a", 0), ("b", 1), ("c", 2), ("d", 3)] {
            let pair = ImagePair { kind: kind_of_mask, ..distinct(height, width) };
            let out = augmented(given.clone(), &pair, sample, epoch);
            hash.update(&out.image);
            hash.update(&out.mask);
        }
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Runs of earlier versions are repeated to the byte: these are the digests of the version before elastic deformation was added.
#[test]
fn the_oldest_options_give_the_bytes_that_they_always_gave() {
    for (given, share, class) in [
        (json!({"flip": true}), "146f0a8a93d6619b", "146f0a8a93d6619b"),
        (json!({"flip": true, "rotate90": true}), "ff81ecd2423e0ea6", "ff81ecd2423e0ea6"),
        (json!({"rotate": 30}), "1cb8d766b11c09ed", "b170da096be6b194"),
        (json!({"scale": 0.3}), "f903e6a47fa26292", "d00bd195fc06ea13"),
        (json!({"flip": true, "rotate90": true, "rotate": 20, "scale": 0.1}), "ffecacfb333e0c42", "a3785c120cf9d758"),
        (json!({"brightness": 0.2, "contrast": 0.2}), "0f1786eb1e43296e", "0f1786eb1e43296e"),
        (json!({"gamma": 0.4}), "22a7184a50140f83", "22a7184a50140f83"),
        (
            json!({"flip": true, "rotate90": true, "rotate": 180, "scale": 0.9, "brightness": 0.2, "contrast": 0.2, "gamma": 0.2}),
            "6025d0069ad138f3",
            "f10f19fbbd2c0b6b",
        ),
    ] {
        let digests = [MaskKind::Share, MaskKind::Class].map(|kind| digest(&given, kind));
        assert_eq!(digests, [share, class], "{given}");
    }
}

/// Each option that was added later, always on, and one set of all.
fn later() -> Vec<Value> {
    let each = vec![
        json!({"elastic": {"share": 1.0, "alpha": [50, 90], "sigma": 4}}),
        json!({"hue": 0.1}),
        json!({"saturation": 0.5}),
        json!({"falloff": 0.6}),
        json!({"green": 1}),
        json!({"clahe": {"share": 1.0, "clip_limit": 2.0, "grid": 2}}),
        json!({"blur": {"share": 1.0, "sigma": [0.5, 2.0]}}),
        json!({"noise": 0.2}),
        json!({"jpeg": {"share": 1.0, "quality": [10, 60]}}),
        json!({"dropout": {"share": 1.0, "holes": [1, 3], "size": [2, 4], "fill": 9}}),
    ];
    let all = each.iter().flat_map(|given| given.as_object().unwrap().clone());
    let all = Value::Object(all.filter(|(name, _)| name != "green").collect());
    [each, vec![all]].concat()
}

/// A picture with colours and edges, of which no option makes itself.
fn picture(height: usize, width: usize) -> ImagePair {
    let pixel = |at: usize| {
        let (x, y) = (at % width, at / width);
        [(90 + 5 * x + y) as u8, (60 + 50 * (x / 3 % 2)) as u8, (20 + 3 * y) as u8]
    };
    let image = (0..height * width).flat_map(pixel).collect();
    ImagePair { image, ..distinct(height, width) }
}

#[test]
fn every_option_changes_the_image_and_only_elastic_the_mask() {
    let pair = picture(24, 24);
    for given in later() {
        let outs = [0, 1, 2].map(|epoch| augmented(given.clone(), &pair, "a", epoch));
        assert!(outs.iter().any(|out| out.image != pair.image), "{given}");
        assert_eq!(outs[0], augmented(given.clone(), &pair, "a", 0), "{given}");
        let moves = given.get("elastic").is_some();
        assert_eq!(outs.iter().any(|out| out.mask != pair.mask), moves, "{given}");
        let certain = ["green", "clahe"].iter().any(|name| given.get(name).is_some()) && given.as_object().unwrap().len() == 1;
        assert_eq!(outs[0].image != outs[1].image, !certain, "{given}");
    }
}

#[test]
fn any_size_goes_through_every_option() {
    for (height, width) in [(1, 1), (1, 9), (9, 1), (7, 5), (2, 2)] {
        for given in later() {
            for kind in [MaskKind::Share, MaskKind::Class] {
                let out = augmented(given.clone(), &ImagePair { kind, ..distinct(height, width) }, "a", 3);
                assert_eq!((out.image.len(), out.mask.len()), (height * width * 3, height * width), "{given}");
            }
        }
    }
}

#[test]
fn no_option_changes_what_another_draws() {
    let pair = picture(24, 24);
    let later = later();
    let without = |name: &str| {
        let mut all = later[later.len() - 1].clone();
        all.as_object_mut().unwrap().retain(|other, _| other != name);
        all
    };
    // Masks are moved alike whatever is done to the colours.
    let elastic = augmented(later[0].clone(), &pair, "a", 1);
    assert_eq!(augmented(without("noise"), &pair, "a", 1).mask, elastic.mask);
    // The first alone, then all the others.
    let after = augmented(without("elastic"), &elastic, "a", 1);
    assert_eq!(after, augmented(later[later.len() - 1].clone(), &pair, "a", 1));
    // The last alone, on what the others made.
    let before = augmented(without("dropout"), &pair, "a", 1);
    let dropout = later.iter().find(|given| given.get("dropout").is_some() && given.get("hue").is_none()).unwrap();
    assert_eq!(augmented(dropout.clone(), &before, "a", 1), augmented(later[later.len() - 1].clone(), &pair, "a", 1));
}

#[test]
fn image_and_mask_are_deformed_together() {
    // Green is as bright as the mask: it stays so wherever the pixels go.
    let share = |at: usize| if at / 64 / 5 % 2 == 1 && at % 64 / 7 % 2 != 1 { 255 } else { 0 };
    let mask: Vec<u8> = (0..64 * 64).map(share).collect();
    let image = mask.iter().flat_map(|&value| [10, value, 90]).collect();
    let pair = ImagePair { image, mask, ..distinct(64, 64) };
    let given = json!({"elastic": {"share": 1.0, "alpha": 120, "sigma": 5}, "flip": true, "rotate": 20, "scale": 0.1});
    for epoch in 0..4 {
        let out = augmented(given.clone(), &pair, "a", epoch);
        assert_ne!(out.mask, pair.mask);
        assert!(out.image.chunks(3).zip(&out.mask).all(|(pixel, &mask)| pixel[1] == mask));
        let classes = ImagePair { kind: MaskKind::Class, mask: pair.mask.iter().map(|&at| at / 128).collect(), ..pair.clone() };
        let classes = augmented(given.clone(), &classes, "a", epoch);
        let differ = classes.mask.iter().zip(&out.mask).filter(|(class, share)| **class != u8::from(**share >= VESSEL));
        let count = differ.count();
        assert!(classes.mask.iter().all(|&class| class < 2) && count < 64 * 64 / 20, "{count} pixels differ");
    }
}

#[test]
fn a_share_is_a_share_of_the_samples() {
    let pair = picture(16, 16);
    for (given, least, most) in [
        (json!({"green": 0.3}), 45, 75),
        (json!({"blur": {"share": 0.5, "sigma": 1.0}}), 85, 115),
        (json!({"elastic": {"share": 0.1, "alpha": 60, "sigma": 4}}), 10, 30),
        (json!({"dropout": {"share": 0.0, "holes": 1, "size": 4, "fill": 0}}), 0, 0),
    ] {
        let changed = (0..200).filter(|epoch| augmented(given.clone(), &pair, "a", *epoch).image != pair.image).count();
        assert!((least..=most).contains(&changed), "{given}: {changed} of 200");
    }
}

fn messages(given: Value, facts: &Facts) -> Vec<String> {
    let mut options = defaults(&kind());
    given.as_object().unwrap().iter().for_each(|(name, value)| options[name] = value.clone());
    let checked = kind().run_check(&options, std::slice::from_ref(facts)).unwrap();
    checked.findings.into_iter().map(|finding| finding.message).collect()
}

#[test]
fn what_makes_no_sense_together_is_found() {
    let mut facts = Facts::default();
    facts.set(fact::HEIGHT, 64, "size");
    facts.set(fact::WIDTH, 48, "size");
    for (given, message) in [
        (json!({"blur": {"share": 0.5, "sigma": [2, 1]}}), "`blur.sigma` goes from 2 to 1: the lowest comes first"),
        (json!({"elastic": {"share": 0.5, "alpha": [9, 1], "sigma": 4}}), "`elastic.alpha` goes from 9 to 1"),
        (json!({"green": 1, "hue": 0.1}), "`hue` does nothing"),
        (json!({"dropout": {"share": 0.5, "holes": 1, "size": 64, "fill": 0}}), "covers the whole image of 64 x 48"),
        (json!({"clahe": {"share": 0.0, "clip_limit": 2.0, "grid": 8}}), "every augmentation is off"),
    ] {
        let found = messages(given.clone(), &facts);
        assert!(found.len() == 1 && found[0].contains(message), "{given}: {found:?}");
    }
    for given in later() {
        assert_eq!(messages(given.clone(), &facts), [""; 0], "{given}");
    }
    assert_eq!(messages(json!({"green": 0.5, "hue": 0.1}), &facts), [""; 0]);
}

#[test]
fn only_what_moves_pixels_loses_the_original() {
    for given in later() {
        let mut facts = Facts::default();
        facts.set(fact::ORIGINAL, 9, "");
        let mut options = defaults(&kind());
        given.as_object().unwrap().iter().for_each(|(name, value)| options[name] = value.clone());
        let facts = kind().run_check(&options, &[facts]).unwrap().facts;
        let moves = given.get("elastic").is_some();
        assert_eq!((facts.get(fact::MOVED).is_some(), facts.get(fact::ORIGINAL).is_none()), (moves, moves), "{given}");
    }
}

#[test]
fn scratch_memory_is_planned() {
    let held = |given: Value| {
        let mut facts = Facts::default();
        facts.set(fact::HEIGHT, 100, "size");
        facts.set(fact::WIDTH, 200, "size");
        let mut options = defaults(&kind());
        given.as_object().unwrap().iter().for_each(|(name, value)| options[name] = value.clone());
        kind().held(&options, &[facts])
    };
    assert_eq!(held(json!({"flip": true, "brightness": 0.2, "noise": 0.1})), 0);
    assert_eq!(held(json!({"rotate": 5})), 80_000);
    assert_eq!(held(json!({"elastic": {"share": 1.0, "alpha": 9, "sigma": 4}})), 80_000 + 240_000);
    assert_eq!(held(json!({"elastic": {"share": 1.0, "alpha": 9, "sigma": 8}})), 80_000 + 60_000);
    assert_eq!(held(json!({"blur": {"share": 1.0, "sigma": 2}})), 16 * 200 * 12);
}
