//! Sums of maps, activations' gradients, nearest-neighbour upsampling, probabilities, channel sums and rounding against their formulas
//! in float64.

mod reference;

use half::{bf16, f16};
use pipeline_kernels::{
    Activation, Area, View, activation_gradient, add_wide, channel_sums, probabilities, probabilities_gradient, round, sum,
    upsample_nearest, upsample_nearest_gradient,
};
use reference::{ACTIVATIONS, Random, Stored, activated, assert_close, assert_same_for_threads, floats, seen, slope, stored};

/// Batch, channels, height, width: one value, odd sides, rows longer than a buffer.
const SHAPES: [[usize; 4]; 5] = [[1, 1, 1, 1], [2, 3, 5, 7], [3, 5, 3, 33], [1, 13, 9, 4], [2, 2, 3, 1030]];

fn shapes() -> impl Iterator<Item = (Area, usize)> {
    SHAPES.into_iter().map(|[batch, channels, height, width]| (Area { batch, height, width }, channels))
}

fn sums<E: Stored>() {
    let mut random = Random(1);
    for ((area, channels), activation) in shapes().flat_map(|shape| ACTIVATIONS.map(|activation| (shape, activation))) {
        let maps: Vec<Vec<E>> = (0..3).map(|_| random.map(area.values(channels))).collect();
        let affine = random.affine(area.batch * channels);
        let views = [
            View::plain(&maps[0], channels),
            View::normed(&maps[1], channels, &affine, Activation::Identity),
            View::normed(&maps[2], channels, &affine, Activation::LeakyRelu(0.125)),
        ];
        let old = random.map::<E>(area.values(channels));
        for (count, keep) in (0..=3).flat_map(|count| [(count, false), (count, true)]) {
            let mut out = old.clone();
            sum(&views[..count], activation, area, &mut out, keep);
            let mut right: Vec<f64> = floats(&old).iter().map(|x| if keep { f64::from(*x) } else { 0.0 }).collect();
            for view in &views[..count] {
                right.iter_mut().zip(seen(*view, area)).for_each(|(right, x)| *right += x);
            }
            let right: Vec<f64> = right.into_iter().map(|x| f64::from(activated(activation, x as f32))).collect();
            assert_close(&out, &right, 1e-6);
        }
    }
}

fn activation_gradients<E: Stored>() {
    let mut random = Random(2);
    for activation in ACTIVATIONS {
        let (mut output, upstream) = (random.map::<E>(70_001), random.map::<E>(70_001));
        output[7] = E::default();
        let mut gradient = upstream.clone();
        activation_gradient(&output, &mut gradient, activation);
        let both = floats(&output).into_iter().zip(floats(&upstream));
        let right: Vec<f64> = both.map(|(x, g)| f64::from(slope(activation, x)) * f64::from(g)).collect();
        assert_close(&gradient, &right, 1e-7);
    }
}

fn nearest<E: Stored>() {
    let mut random = Random(3);
    for (area, channels) in shapes() {
        let x = random.map::<E>(area.values(channels));
        let affine = random.affine(area.batch * channels);
        let upstream = random.map::<E>(4 * x.len());
        // The small pixel of each large one.
        let from = |index: usize| {
            let (row, column) = (index / (2 * area.width), index % (2 * area.width));
            row / 2 * area.width + column / 2
        };
        for view in [View::plain(&x, channels), View::normed(&x, channels, &affine, Activation::Relu)] {
            let (values, mut out) = (seen(view, area), upstream.clone());
            upsample_nearest(view, area, &mut out);
            let right: Vec<f64> = (0..out.len()).map(|index| values[from(index)]).collect();
            assert_close(&out, &right, 1e-7);
        }
        let (mut gradient, mut right) = (x.clone(), vec![0.0; x.len()]);
        upsample_nearest_gradient(&upstream, area, &mut gradient);
        for (index, g) in floats(&upstream).into_iter().enumerate() {
            right[from(index)] += f64::from(g);
        }
        assert_close(&gradient, &right, 1e-6);
    }
}

/// A pixel's probabilities.
fn chances(z: &[f64]) -> Vec<f64> {
    match z {
        [z] => vec![1.0 / (1.0 + (-z).exp())],
        _ => {
            let total: f64 = z.iter().map(|z| z.exp()).sum();
            z.iter().map(|z| z.exp() / total).collect()
        }
    }
}

/// The probabilities by their formulas, their gradient by small changes.
fn chances_and_gradients<E: Stored>() {
    let mut random = Random(4);
    for ((area, _), classes) in shapes().flat_map(|shape| [1, 2, 5].map(|classes| (shape, classes))) {
        let count = area.values(classes);
        let logits: Vec<f32> = random.floats(count).into_iter().map(|z| 8.0 * z).collect();
        let upstream = random.map::<E>(count);
        let mut p = vec![E::default(); count];
        probabilities(&logits, classes, area, &mut p);
        let mut gradient = vec![1.0; count];
        probabilities_gradient(&p, &upstream, classes, area, &mut gradient);
        let (g, mut right_p, mut right) = (floats(&upstream), vec![0.0; count], vec![1.0; count]);
        for pixel in 0..area.values(1) {
            let place = |class: usize| (pixel / area.pixels() * classes + class) * area.pixels() + pixel % area.pixels();
            let z: Vec<f64> = (0..classes).map(|class| f64::from(logits[place(class)])).collect();
            for (class, p) in chances(&z).into_iter().enumerate() {
                right_p[place(class)] = p;
                let moved = |step: f64| {
                    let mut z = z.clone();
                    z[class] += step;
                    chances(&z).iter().enumerate().map(|(class, p)| f64::from(g[place(class)]) * p).sum::<f64>()
                };
                right[place(class)] += (moved(1e-5) - moved(-1e-5)) / 2e-5;
            }
        }
        assert_close(&p, &right_p, 3e-7);
        // The kernel has the rounded probabilities.
        assert_close(&gradient, &right, 1e-6 + 3.0 * E::ROUNDING);
    }
}

#[test]
fn probabilities_of_extreme_logits() {
    let area = Area { batch: 1, height: 1, width: 3 };
    let mut out = [0.0f32; 3];
    probabilities(&[-100.0, 0.0, 100.0], 1, area, &mut out);
    assert_eq!([out[1], out[2]], [0.5, 1.0]);
    assert!(out[0] > 0.0 && out[0] < 1e-43, "{}", out[0]);
    let mut out = [0.0f32; 6];
    probabilities(&[500.0, -500.0, f32::NAN, 500.0, 500.0, 0.0], 2, area, &mut out);
    assert_eq!([out[0], out[3], out[1], out[4]], [0.5, 0.5, 0.0, 1.0]);
    assert!(out[2].is_nan() && out[5].is_nan());
}

fn channels_summed<E: Stored>() {
    let mut random = Random(5);
    for (area, channels) in shapes() {
        let upstream = random.map::<E>(area.values(channels));
        let mut gradient = vec![1.0; channels];
        channel_sums(&upstream, channels, area, &mut gradient);
        let mut right = vec![1.0; channels];
        for (index, g) in floats(&upstream).into_iter().enumerate() {
            right[index / area.pixels() % channels] += f64::from(g);
        }
        assert_close(&gradient, &right, 1e-5);
    }
}

fn rounded_and_added<E: Stored>() {
    let mut random = Random(6);
    for (area, channels) in shapes() {
        let values = random.floats(area.values(channels));
        let mut map = vec![E::default(); values.len()];
        round(&values, &mut map);
        assert_close(&map, &values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>(), 1e-7);
        let mut total = values.clone();
        add_wide(&mut total, &map);
        let terms = values.iter().zip(floats(&map));
        assert_close(&total, &terms.map(|(value, own)| f64::from(*value) + f64::from(own)).collect::<Vec<_>>(), 0.0);
    }
}

fn all<E: Stored>() {
    sums::<E>();
    activation_gradients::<E>();
    nearest::<E>();
    chances_and_gradients::<E>();
    channels_summed::<E>();
    rounded_and_added::<E>();
}

#[test]
fn float32() {
    all::<f32>();
}

#[test]
fn float16() {
    all::<f16>();
}

#[test]
fn bfloat16() {
    all::<bf16>();
}

#[test]
fn a_nan_comes_through() {
    let area = Area { batch: 1, height: 1, width: 1 };
    for activation in ACTIVATIONS {
        let mut out = [1.0f32];
        sum(&[View::plain(&[f32::NAN], 1)], activation, area, &mut out, true);
        assert!(out[0].is_nan());
    }
    let mut out = [0.0f32; 4];
    upsample_nearest(View::plain(&[f32::NAN], 1), area, &mut out);
    assert!(out.iter().all(|x| x.is_nan()));
}

#[test]
fn same_bytes_for_any_number_of_threads() {
    let (area, mut random) = (Area { batch: 2, height: 37, width: 1030 }, Random(6));
    let (logits, upstream) = (random.floats(area.values(3)), random.floats(area.values(3)));
    assert_same_for_threads(|| {
        let (mut sums, mut p, mut gradient) = (vec![0.0; 3], stored::<f32>(&upstream), upstream.clone());
        channel_sums(&upstream, 3, area, &mut sums);
        probabilities(&logits, 3, area, &mut p);
        probabilities_gradient(&p, &upstream, 3, area, &mut gradient);
        [sums, p, gradient].concat()
    });
}
