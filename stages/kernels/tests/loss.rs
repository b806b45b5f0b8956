//! The losses and their gradients, against formulas in float64 and what they promise at the edges.

mod reference;

use pipeline_kernels::{Area, Targets, Term, WeightedTerm, all_finite, loss, loss_workspace, target_at};
use reference::losses::{formula, slope};
use reference::{Random, assert_same_for_threads};

const BINARY: [Term; 9] = [
    Term::Bce { pos_weight: 1.0 },
    Term::Bce { pos_weight: 4.0 },
    Term::Dice,
    Term::Focal { gamma: 2.0, alpha: None },
    Term::Focal { gamma: 1.5, alpha: Some(0.25) },
    Term::Tversky { alpha: 0.3, beta: 0.7 },
    Term::FocalTversky { alpha: 0.3, beta: 0.7, gamma: 1.5 },
    Term::ClDice { iterations: 0 },
    Term::ClDice { iterations: 3 },
];
const MULTICLASS: [Term; 3] = [Term::CrossEntropy, Term::ClassDice { background: true }, Term::ClassDice { background: false }];

fn alone(term: Term) -> [WeightedTerm; 1] {
    [WeightedTerm { term, weight: 1.0 }]
}

/// Losses and the gradient of `scale` times their sum.
fn run(terms: &[WeightedTerm], logits: &[f32], targets: Targets<'_>, area: Area, scale: f32) -> (Vec<f32>, Vec<f32>) {
    // What the workspace holds doesn't matter.
    let mut workspace = vec![f32::NAN; loss_workspace(terms, targets.classes, area)];
    let (mut z, mut losses) = (logits.to_vec(), vec![0.0; area.batch]);
    loss(terms, &mut z, targets, area, scale, &mut losses, &mut workspace);
    (losses, z)
}

/// Blobs with thin branches, a fifth of whose pixels are partly mask; or labels of which a tenth is ignored.
fn labels(random: &mut Random, area: Area, classes: usize) -> Vec<u8> {
    let label = |index: usize| {
        let (y, x) = (index / area.width % area.height, index % area.width);
        match classes {
            1 if random.next() < 0.2 => (255.0 * random.next()) as u8,
            1 => 255 * u8::from((y * 3 + x) % 11 < 4 || y % 7 == 2),
            _ if random.next() < 0.1 => 255,
            _ => (((y / 3 + x / 4) % classes) as u8).min(classes as u8 - 1),
        }
    };
    (0..area.values(1)).map(label).collect()
}

fn logits(random: &mut Random, count: usize) -> Vec<f32> {
    random.floats(count).iter().map(|z| 5.0 * z).collect()
}

fn targets(labels: &[u8], classes: usize) -> Targets<'_> {
    Targets { labels, classes, ignore: Some(255) }
}

/// Losses are the formula's, gradients are what small changes of it make, and samples don't mix.
#[track_caller]
fn assert_right(terms: &[WeightedTerm], classes: usize) {
    let (mut random, area, scale) = (Random(1), Area { batch: 2, height: 9, width: 13 }, 3.0);
    let (z, y) = (logits(&mut random, area.values(classes)), labels(&mut random, area, classes));
    let (losses, gradient) = run(terms, &z, targets(&y, classes), area, scale);
    let one = Area { batch: 1, ..area };
    for sample in 0..2 {
        let range = sample * one.values(classes)..(sample + 1) * one.values(classes);
        let wide: Vec<f64> = z[range.clone()].iter().map(|z| f64::from(*z)).collect();
        let target = targets(&y[sample * one.pixels()..][..one.pixels()], classes);
        let right = formula(terms, &wide, target, one);
        assert!((f64::from(losses[sample]) - right).abs() < 1e-6 * right.abs(), "{terms:?}: {} for {right}", losses[sample]);
        let slopes: Vec<f64> = (0..wide.len()).map(|at| f64::from(scale) * slope(terms, &wide, target, one, at)).collect();
        let error = gradient[range].iter().zip(&slopes).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum::<f64>().sqrt();
        let size = slopes.iter().map(|slope| slope.powi(2)).sum::<f64>().sqrt();
        assert!(size > 1e-3 && error < 2e-6 * size, "{terms:?}: a gradient of {size} is {error} off");
    }
}

#[test]
fn every_term() {
    BINARY.into_iter().for_each(|term| assert_right(&alone(term), 1));
    for classes in [2, 3, 7] {
        MULTICLASS.into_iter().for_each(|term| assert_right(&alone(term), classes));
    }
}

#[test]
fn weights_of_a_list() {
    let weighted = |terms: &[Term]| -> Vec<WeightedTerm> {
        let weights = [0.5, 2.0, 0.25, 1.5, 0.75, 3.0, 1.25, 0.3];
        terms.iter().zip(weights).map(|(term, weight)| WeightedTerm { term: *term, weight }).collect()
    };
    assert_right(&weighted(&BINARY[..8]), 1);
    assert_right(&weighted(&[BINARY[8], BINARY[0], BINARY[3], BINARY[3], BINARY[2], BINARY[2]]), 1);
    assert_right(&weighted(&[MULTICLASS[1], MULTICLASS[0], MULTICLASS[0]]), 4);
    assert_right(&weighted(&[MULTICLASS[0], MULTICLASS[2]]), 4);
}

/// The bits that earlier versions computed: the same file and seed still give the same weights. Other C libraries may round
/// exponentials differently.
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
#[test]
fn bce_dice_keeps_its_bits() {
    let area = Area { batch: 2, height: 2, width: 2 };
    let (z, y) = ([0.5, -1.25, 3.0, -0.75, 12.0, -20.0, 0.0, 2.0], [1, 0, 1, 1, 0, 0, 1, 0].map(|y| 255 * y));
    let terms = [BINARY[0], BINARY[2]].map(|term| WeightedTerm { term, weight: 1.0 });
    let (losses, gradient) = run(&terms, &z, targets(&y, 1), area, 0.5);
    let bits = |values: Vec<f32>| -> Vec<u32> { values.into_iter().map(f32::to_bits).collect() };
    assert_eq!(bits(losses), [0x3f3c_b1d1, 0x408d_1868]);
    let right = [0xbd9b_d9f4, 0x3d25_546a, 0xbc3c_2c73, 0xbde4_c2c2, 0x3dff_ffbc, 0x2fbf_3604, 0xbe00_85d7, 0x3dea_e3fa];
    assert_eq!(bits(gradient), right);
}

/// Nothing to find and everything to find, and an image of one colour: losses of a known size, and finite gradients.
#[test]
fn empty_and_full_masks() {
    let area = Area { batch: 1, height: 6, width: 5 };
    for (y, right, wrong) in [(0, -60.0, 60.0), (255, 60.0, -60.0)] {
        let y = vec![y; area.pixels()];
        for term in BINARY {
            let (losses, gradient) = run(&alone(term), &vec![right; area.pixels()], targets(&y, 1), area, 1.0);
            assert!(losses[0].abs() < 1e-6, "{term:?} on {}: {}", y[0], losses[0]);
            assert!(all_finite(&gradient), "{term:?}");
            let (losses, gradient) = run(&alone(term), &vec![wrong; area.pixels()], targets(&y, 1), area, 1.0);
            // The skeleton of a full image is empty, so clDice sees no error.
            assert!(losses[0] > 0.9 || matches!(term, Term::ClDice { .. }), "{term:?} on {}: {}", y[0], losses[0]);
            assert!(all_finite(&losses) && all_finite(&gradient), "{term:?}");
        }
    }
}

/// Equal masks are no point without a derivative: the gradient is 0, not NaN.
#[test]
fn focal_tversky_without_errors() {
    let area = Area { batch: 1, height: 1, width: 4 };
    let terms = alone(BINARY[6]);
    let (losses, gradient) = run(&terms, &[200.0, -200.0, 200.0, -200.0], targets(&[255, 0, 255, 0], 1), area, 1.0);
    assert_eq!((losses, gradient), (vec![0.0], vec![0.0; 4]));
}

/// Large logits neither overflow nor vanish.
#[test]
fn large_logits() {
    let area = Area { batch: 1, height: 2, width: 2 };
    let rights = [100.0, 250.0, 0.5, 100.0, 50.0];
    for (term, right) in BINARY.into_iter().zip(rights) {
        let (losses, gradient) = run(&alone(term), &[200.0, -200.0, 1e30, -1e30], targets(&[0, 255, 255, 0], 1), area, 1.0);
        assert!((losses[0] - right).abs() < 1e-3, "{term:?}: {}", losses[0]);
        assert!(all_finite(&gradient), "{term:?}");
    }
    let z = [60.0, -60.0, 1e30, 0.0, -60.0, 60.0, 0.0, 1e30];
    let (losses, gradient) = run(&alone(Term::CrossEntropy), &z, targets(&[0, 0, 0, 1], 2), area, 4.0);
    assert_eq!(losses, [30.0]);
    let right = [-7.7e-53, -1.0, 0.0, 0.0, 7.7e-53, 1.0, 0.0, 0.0];
    assert!(gradient.iter().zip(right).all(|(gradient, right)| (gradient - right as f32).abs() < 1e-6), "{gradient:?}");
}

/// A probability near 1 doesn't cancel: the gradients of two classes are those of one logit, the classes' difference.
#[test]
fn sure_probabilities_keep_their_gradients() {
    let area = Area { batch: 1, height: 1, width: 4 };
    let (z, y) = ([40.0f32, -40.0, 18.0, -18.0], [1, 0, 0, 1]);
    let pair: Vec<f32> = z.iter().map(|_| 0.0).chain(z).collect();
    let mask = y.map(|y| 255 * y);
    let (right, binary) = run(&alone(BINARY[0]), &z, targets(&mask, 1), area, 1.0);
    let (losses, gradient) = run(&alone(Term::CrossEntropy), &pair, targets(&y, 2), area, 1.0);
    let close = |a: f32, b: f32| (a - b).abs() <= 1e-6 * b.abs();
    assert!(close(losses[0], right[0]));
    for (pixel, &binary) in binary.iter().enumerate() {
        assert!(binary != 0.0 && close(gradient[4 + pixel], binary) && close(gradient[pixel], -binary), "{gradient:?}");
    }
    // With class 0 left out, Dice of class 1 is that of the mask.
    let (_, binary) = run(&alone(Term::Dice), &z, targets(&mask, 1), area, 1.0);
    let (_, gradient) = run(&alone(Term::ClassDice { background: false }), &pair, targets(&y, 2), area, 1.0);
    for (pixel, &binary) in binary.iter().enumerate() {
        assert!(binary != 0.0 && close(gradient[4 + pixel], binary) && close(gradient[pixel], -binary), "{gradient:?}");
    }
}

/// A sample without labels has no loss, and what is ignored has no gradient.
#[test]
fn ignored_pixels() {
    let area = Area { batch: 2, height: 3, width: 4 };
    let mut y = vec![255; 24];
    y[12..20].fill(2);
    let z = logits(&mut Random(4), area.values(3));
    let terms = MULTICLASS.map(|term| WeightedTerm { term, weight: 1.0 });
    let (losses, gradient) = run(&terms[..2], &z, targets(&y, 3), area, 1.0);
    assert_eq!(losses[0], 0.0);
    assert!(losses[1] > 0.0);
    assert!(gradient[..36].iter().all(|gradient| *gradient == 0.0));
    for class in 0..3 {
        let plane = &gradient[36 + class * 12..][..12];
        assert!(plane[..8].iter().all(|gradient| *gradient != 0.0) && plane[8..].iter().all(|gradient| *gradient == 0.0));
    }
    // Another label may be the one that is left out.
    let zeros: Vec<u8> = y.iter().map(|y| if *y == 255 { 0 } else { *y }).collect();
    let (other, _) = run(&alone(MULTICLASS[0]), &z, Targets { labels: &zeros, classes: 3, ignore: Some(0) }, area, 1.0);
    assert_eq!(other, run(&alone(MULTICLASS[0]), &z, targets(&y, 3), area, 1.0).0);
}

#[test]
#[should_panic(expected = "a label that is no class")]
fn labels_are_classes() {
    let area = Area { batch: 1, height: 1, width: 2 };
    run(&alone(Term::CrossEntropy), &[0.0; 4], Targets { labels: &[0, 2], classes: 2, ignore: Some(255) }, area, 1.0);
}

#[test]
#[should_panic(expected = "Dice on 2 classes")]
fn terms_fit_the_classes() {
    let area = Area { batch: 1, height: 1, width: 2 };
    run(&alone(Term::Dice), &[0.0; 4], targets(&[0, 1], 2), area, 1.0);
}

/// What isn't a number reaches the loss, also past minima and maxima.
#[test]
fn a_nan_is_not_hidden() {
    let area = Area { batch: 1, height: 8, width: 8 };
    for (terms, classes) in [(&BINARY[..], 1), (&MULTICLASS[..], 3)] {
        for at in 0..area.values(classes) {
            for &term in terms {
                let mut z = logits(&mut Random(5), area.values(classes));
                z[at] = f32::NAN;
                let (losses, _) = run(&alone(term), &z, targets(&[1; 64], classes), area, 1.0);
                assert!(losses[0].is_nan(), "{term:?}: {}", losses[0]);
            }
        }
    }
}

/// Images larger than a part, a tile and a band; the tiles' seams don't show.
#[test]
fn same_bytes_for_any_number_of_threads() {
    let area = Area { batch: 2, height: 150, width: 300 };
    let mut random = Random(3);
    for (terms, classes) in [(&BINARY[..], 1), (&MULTICLASS[..], 3)] {
        let (z, y) = (logits(&mut random, area.values(classes)), labels(&mut random, area, classes));
        for &term in terms {
            assert_same_for_threads(|| {
                let (mut losses, gradient) = run(&alone(term), &z, targets(&y, classes), area, 1.0);
                losses.extend(gradient);
                losses
            });
        }
    }
}

/// Gradients beside the seams of tiles, at row 64 and column 256, from an erosion that sees across them.
#[test]
fn tiles_have_no_seams() {
    let area = Area { batch: 1, height: 80, width: 270 };
    let mut random = Random(7);
    let logit = |index: usize| {
        // Vessels whose width is even have two centrelines: here one on each side of a seam.
        let (y, x) = (index / area.width, index % area.width);
        let on = (62..66).contains(&y) || (254..258).contains(&x) || (x + 2 * y) % 19 < 5;
        if on { 2.0 + random.next() as f32 } else { random.next() as f32 - 3.0 }
    };
    let z: Vec<f32> = (0..area.pixels()).map(logit).collect();
    let (y, wide): (_, Vec<f64>) = (labels(&mut random, area, 1), z.iter().map(|z| f64::from(*z)).collect());
    let terms = alone(Term::ClDice { iterations: 1 });
    let (losses, gradient) = run(&terms, &z, targets(&y, 1), area, 1e4);
    let right = formula(&terms, &wide, targets(&y, 1), area);
    assert!((f64::from(losses[0]) - right).abs() < 1e-6 * right, "{} for {right}", losses[0]);
    let (rows, columns) = ((58..70).flat_map(|row| [(row, 30), (row, 255)]), (250..262).map(|column| (20, column)));
    let mut largest = 0.0f64;
    for (row, column) in rows.chain(columns).chain([(0, 0), (79, 269)]) {
        let at = row * area.width + column;
        let right = 1e4 * slope(&terms, &wide, targets(&y, 1), area, at);
        assert!((f64::from(gradient[at]) - right).abs() < 1e-5, "{row}, {column}: {} for {right}", gradient[at]);
        largest = largest.max(right.abs());
    }
    assert!(largest > 0.1);
}

#[test]
fn workspaces() {
    let area = Area { batch: 3, height: 20, width: 30 };
    for term in &BINARY[..7] {
        assert_eq!(loss_workspace(&alone(*term), 1, area), 0);
    }
    assert_eq!(loss_workspace(&alone(Term::ClassDice { background: true }), 5, area), 10);
    assert_eq!(loss_workspace(&alone(Term::CrossEntropy), 5, area), 0);
    // Two maps of one sample, and a single tile, however many threads there are.
    assert_eq!(loss_workspace(&alone(BINARY[8]), 1, area), 2 * 600 + 10 * 22 * 32 + 3 * 34);
}

#[test]
fn targets_of_coarser_heads() {
    let labels: Vec<u8> = (0..2 * 4 * 6).collect();
    let mut out = vec![0; 2 * 2 * 3];
    target_at(&labels, Area { batch: 2, height: 4, width: 6 }, [2, 3], &mut out);
    assert_eq!(out, [7, 9, 11, 19, 21, 23, 31, 33, 35, 43, 45, 47]);
    // Factors of 3 and 2.5: floor(1.5), floor(4.5); floor(1.25), floor(3.75).
    let mut out = vec![0; 2 * 2];
    target_at(&labels[..30], Area { batch: 1, height: 6, width: 5 }, [2, 2], &mut out);
    assert_eq!(out, [5 + 1, 5 + 3, 20 + 1, 20 + 3]);
}
