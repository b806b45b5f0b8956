//! Norm, pooling and head against their formulas in float64.

mod reference;

use half::{bf16, f16};
use pipeline_kernels::{
    Activation, Area, View, moments, norm_input_gradient, norm_sums, pointwise, pointwise_input_gradient,
    pointwise_weight_gradient, pool, pool_gradient,
};
use reference::{ACTIVATIONS, Random, Stored, assert_close, assert_same_for_threads, floats, seen, slope, stored};

const AREA: Area = Area { batch: 2, height: 6, width: 1030 };
const CHANNELS: usize = 3;
const PLANES: usize = 6;

fn close(value: f64, right: f64, relative: f64) {
    assert!((value - right).abs() <= relative * right.abs().max(1e-3), "{value} for {right}");
}

fn moments_of_planes<E: Stored>() {
    // A mean far from zero, which a single pass of sums of squares would not survive.
    let values: Vec<f32> = Random(3).floats(AREA.values(CHANNELS)).iter().map(|value| 100.0 + value).collect();
    let x = stored::<E>(&values);
    let mut out = [[0.0; 2]; PLANES];
    moments(&x, AREA, &mut out);
    for (out, plane) in out.iter().zip(floats(&x).chunks(AREA.pixels())) {
        let mean = plane.iter().map(|value| f64::from(*value)).sum::<f64>() / plane.len() as f64;
        let squares: f64 = plane.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum();
        close(out[0], mean, 1e-8);
        close(out[1], squares, 1e-5);
    }
}

fn norm_gradients<E: Stored>(activation: Activation) {
    let mut random = Random(4);
    let (x, upstream) = (random.map::<E>(AREA.values(CHANNELS)), random.map::<E>(AREA.values(CHANNELS)));
    let (affine, means) = (random.affine(PLANES), random.floats(PLANES));
    let coefficients: Vec<[f32; 3]> = (0..PLANES).map(|_| [0; 3].map(|_| random.next() as f32 - 0.5)).collect();
    let (mut sums, mut gradient) = ([[0.0; 2]; PLANES], upstream.clone());
    norm_sums(&x, &upstream, &affine, activation, &means, AREA, &mut sums);
    norm_input_gradient(&x, &mut gradient, &affine, activation, &means, &coefficients, AREA);
    let (mut right_sums, mut right) = ([[0.0f64; 2]; PLANES], Vec::new());
    for (index, (x, g)) in floats(&x).into_iter().zip(floats(&upstream)).enumerate() {
        let plane = index / AREA.pixels();
        let g = f64::from(g) * f64::from(slope(activation, affine[plane][0] * x + affine[plane][1]));
        let off = f64::from(x) - f64::from(means[plane]);
        right_sums[plane][0] += g;
        right_sums[plane][1] += g * off;
        let [factor, along, constant] = coefficients[plane].map(f64::from);
        right.push(factor * g - off * along - constant);
    }
    for (sums, right) in sums.iter().flatten().zip(right_sums.iter().flatten()) {
        assert!((sums - right).abs() < 1e-4, "{sums} for {right}");
    }
    assert_close(&gradient, &right, 1e-6);
}

/// An instance norm with weight, bias and activation, summed up with weights `upstream`.
fn normalised(x: &[f64], upstream: &[f32], weight: f64, bias: f64, activation: Activation) -> f64 {
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
    let scale = weight / (variance + 1e-5).sqrt();
    let normed = x.iter().map(|x| scale * (x - mean) + bias);
    normed.zip(upstream).map(|(x, g)| f64::from(*g) * x * f64::from(slope(activation, x as f32))).sum()
}

/// With the coefficients of the documentation, the gradient is what small changes of the input make.
fn norm_gradient_by_small_changes(activation: Activation) {
    let (area, mut random) = (Area { batch: 1, height: 5, width: 7 }, Random(5));
    let (x, upstream) = (random.floats(35), random.floats(35));
    let (weight, bias, count) = (0.8, 0.3, 35.0);
    let mut moment = [[0.0; 2]];
    moments(&x, area, &mut moment);
    let [mean, squares] = moment[0];
    let variance = squares / count + 1e-5;
    let factor = weight / variance.sqrt();
    let (affine, means) = ([[factor as f32, (bias - mean * factor) as f32]], [mean as f32]);
    let (mut sums, mut gradient) = ([[0.0; 2]], upstream.clone());
    norm_sums(&x, &upstream, &affine, activation, &means, area, &mut sums);
    let [sum, along] = sums[0];
    let coefficients = [[factor, factor * along / (count * variance), factor * sum / count].map(|value| value as f32)];
    norm_input_gradient(&x, &mut gradient, &affine, activation, &means, &coefficients, area);
    let wide: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    for (index, gradient) in gradient.iter().enumerate() {
        let moved = |step: f64| {
            let mut moved = wide.clone();
            moved[index] += step;
            normalised(&moved, &upstream, weight, bias, activation)
        };
        let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
        assert!((f64::from(*gradient) - slope).abs() < 1e-5, "{gradient} for {slope}");
    }
}

#[test]
fn norm_gradients_by_small_changes() {
    ACTIVATIONS.into_iter().for_each(norm_gradient_by_small_changes);
}

/// Few different values, so that many windows hold their maximum twice, and affines that are exact in every type.
fn pools<E: Stored>() {
    let mut random = Random(6);
    let steps: Vec<f32> = (0..AREA.values(CHANNELS)).map(|_| (random.next() * 5.0).floor() as f32 * 0.5 - 1.0).collect();
    let (x, upstream) = (stored::<E>(&steps), random.map::<E>(steps.len() / 4));
    let affine = [[1.0, 0.25], [-1.0, 0.0], [0.5, -0.25], [2.0, 1.0], [-0.5, 0.5], [1.0, -2.0]];
    let read = ACTIVATIONS.into_iter().flat_map(|activation| [(None, activation), (Some(&affine[..]), activation)]);
    for (affine, activation) in read {
        let view = View { values: &x, channels: CHANNELS, affine, activation };
        let values = seen(view, AREA);
        let mut out = upstream.clone();
        pool(view, AREA, &mut out);
        let before: Vec<f32> = steps.iter().map(|step| step + 0.125).collect();
        let mut gradient = stored::<E>(&before);
        pool_gradient(view, &upstream, AREA, &mut gradient);
        let mut right: Vec<f64> = before.iter().map(|value| f64::from(*value)).collect();
        let (mut right_out, width) = (Vec::new(), AREA.width);
        for (index, g) in floats(&upstream).into_iter().enumerate() {
            let corner = index / (width / 2) * 2 * width + index % (width / 2) * 2;
            let mut best = corner;
            for place in [corner + 1, corner + width, corner + width + 1] {
                best = if values[place] > values[best] { place } else { best };
            }
            right_out.push(values[best]);
            right[best] += f64::from(g);
        }
        assert_close(&out, &right_out, 0.0);
        assert_close(&gradient, &right, 1e-7);
    }
}

#[test]
fn pooling_keeps_a_nan() {
    let area = Area { batch: 1, height: 2, width: 2 };
    for place in 0..4 {
        let mut values = [1.0f32; 4];
        values[place] = f32::NAN;
        let (mut out, mut gradient) = ([0.0], [0.0; 4]);
        for activation in ACTIVATIONS {
            pool(View { activation, ..View::plain(&values, 1) }, area, &mut out);
            assert!(out[0].is_nan());
            pool(View::normed(&values, 1, &[[1.0, 0.0]], activation), area, &mut out);
            assert!(out[0].is_nan());
        }
        pool_gradient(View::plain(&values, 1), &[1.0], area, &mut gradient);
        assert_eq!(gradient.iter().position(|g| *g == 1.0), Some(place));
    }
}

fn heads<E: Stored>() {
    let mut random = Random(8);
    let x = random.map::<E>(AREA.values(CHANNELS));
    let affine = random.affine(PLANES);
    for (outputs, affine) in [(1, None), (1, Some(&affine[..])), (2, None), (2, Some(&affine[..]))] {
        let view = View { values: &x, channels: CHANNELS, affine, activation: ACTIVATIONS[outputs] };
        let (values, pixels) = (seen(view, AREA), AREA.pixels());
        let (weight, bias) = (random.floats(outputs * CHANNELS), random.floats(outputs));
        let upstream = random.floats(AREA.values(outputs));
        let (mut out, mut gradient) = (vec![f32::NAN; upstream.len()], x.clone());
        let (mut weight_gradient, mut bias_gradient) = (weight.clone(), bias.clone());
        pointwise(view, &weight, &bias, AREA, &mut out);
        pointwise_input_gradient(&upstream, &weight, CHANNELS, outputs, AREA, &mut gradient);
        pointwise_weight_gradient(view, &upstream, outputs, AREA, &mut weight_gradient, &mut bias_gradient);
        let mut right_out: Vec<f64> = (0..out.len()).map(|index| f64::from(bias[index / pixels % outputs])).collect();
        let mut right = vec![0.0; x.len()];
        let mut right_weight: Vec<f64> = weight.iter().map(|value| f64::from(*value)).collect();
        let mut right_bias: Vec<f64> = bias.iter().map(|value| f64::from(*value)).collect();
        for (index, g) in upstream.iter().enumerate() {
            let (sample, output, pixel) = (index / pixels / outputs, index / pixels % outputs, index % pixels);
            right_bias[output] += f64::from(*g);
            for channel in 0..CHANNELS {
                let (place, by) = ((sample * CHANNELS + channel) * pixels + pixel, output * CHANNELS + channel);
                right_out[index] += values[place] * f64::from(weight[by]);
                right[place] += f64::from(*g) * f64::from(weight[by]);
                right_weight[by] += f64::from(*g) * values[place];
            }
        }
        assert_close(&out, &right_out, 1e-6);
        assert_close(&gradient, &right, 1e-6);
        assert_close(&weight_gradient, &right_weight, 1e-4);
        assert_close(&bias_gradient, &right_bias, 1e-4);
    }
}

fn all<E: Stored>() {
    moments_of_planes::<E>();
    ACTIVATIONS.into_iter().for_each(norm_gradients::<E>);
    pools::<E>();
    heads::<E>();
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
fn same_bytes_for_any_number_of_threads() {
    let mut random = Random(9);
    let (x, upstream, affine) = (random.floats(AREA.values(CHANNELS)), random.floats(AREA.values(1)), random.affine(PLANES));
    let (means, weight) = (random.floats(PLANES), random.floats(CHANNELS));
    let view = View::normed(&x, CHANNELS, &affine, Activation::Relu);
    assert_same_for_threads(|| {
        let (mut out, mut sums) = ([[0.0; 2]; PLANES], [[0.0; 2]; PLANES]);
        moments(&x, AREA, &mut out);
        norm_sums(&x, &x, &affine, Activation::Relu, &means, AREA, &mut sums);
        let bits = out.iter().chain(&sums).flatten().map(|value| value.to_bits());
        bits.flat_map(|bits| [f32::from_bits(bits as u32), f32::from_bits((bits >> 32) as u32)]).collect()
    });
    assert_same_for_threads(|| {
        let (mut weight_gradient, mut bias_gradient) = (weight.clone(), vec![0.0]);
        pointwise_weight_gradient(view, &upstream, 1, AREA, &mut weight_gradient, &mut bias_gradient);
        [weight_gradient, bias_gradient].concat()
    });
}
