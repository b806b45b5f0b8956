//! Compares the norm's kernels with formulas in float64: maps side by side whose groups straddle the boundary, and activations of
//! any slope. Runs only if this build and this machine have a graphics device.
#![expect(clippy::expect_used, clippy::print_stderr, reason = "tests may panic and talk")]

use burn::tensor::{Device, Tensor, TensorData};

use super::{Merged, Normed, Parameters, activate, join, merge, norm_input, partial};
use crate::layer::{Activation, Norm, NormKind, NormOptions};
use crate::parameters::Layout;

const BATCH: usize = 2;
const HEIGHT: usize = 48;
const WIDTH: usize = 66;
const PIXELS: usize = HEIGHT * WIDTH;

/// Values between -1 and 1 without a pattern.
pub(super) fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn upload<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

/// A map `[batch, channels, height, width]` whose channels' means and deviations differ.
fn map(channels: usize, seed: u64) -> Vec<f32> {
    let mut values = noise(BATCH * channels * PIXELS, seed);
    for (plane, values) in values.chunks_mut(PIXELS).enumerate() {
        let (centre, spread) = ((plane * 7 % 11) as f32 - 4.0, 0.5 + (plane % 5) as f32);
        values.iter_mut().for_each(|value| *value = centre + spread * *value);
    }
    values
}

/// The results of a norm over channels side by side.
struct Expected {
    /// `[batch, channels, height, width]`.
    output: Vec<f64>,
    input: Vec<f64>,
    /// `[channels]`.
    scale: Vec<f64>,
    shift: Vec<f64>,
}

/// The formulas of layer/norm.rs and their gradient. All maps are `[batch, channels, height, width]`.
fn expected(norm: &Norm, slope: f64, x: &[f64], upstream: &[f64], [scale, shift]: [&[f64]; 2]) -> Expected {
    let (channels, members) = (norm.channels, norm.members());
    let mut made = Expected {
        output: vec![0.0; x.len()],
        input: vec![0.0; x.len()],
        scale: vec![0.0; channels],
        shift: vec![0.0; channels],
    };
    let sets: Vec<Vec<usize>> = match norm.kind {
        NormKind::Batch => (0..channels).map(|channel| (0..BATCH).map(|image| image * channels + channel).collect()).collect(),
        _ => (0..BATCH * channels).collect::<Vec<_>>().chunks(members).map(<[usize]>::to_vec).collect(),
    };
    for planes in sets {
        let places: Vec<usize> = planes.iter().flat_map(|plane| plane * PIXELS..(plane + 1) * PIXELS).collect();
        let count = places.len() as f64;
        let mean = places.iter().map(|&at| x[at]).sum::<f64>() / count;
        let variance = places.iter().map(|&at| (x[at] - mean).powi(2)).sum::<f64>() / count;
        let inverse = 1.0 / (variance + norm.eps).sqrt();
        let channel = |at: usize| at / PIXELS % channels;
        let normalized = |at: usize| (x[at] - mean) * inverse;
        let y = |at: usize| normalized(at) * scale[channel(at)] + shift[channel(at)];
        let before = |at: usize| upstream[at] * if y(at) <= 0.0 { slope } else { 1.0 };
        let gained = |at: usize| before(at) * scale[channel(at)];
        let constant = places.iter().map(|&at| gained(at)).sum::<f64>() / count;
        let along = places.iter().map(|&at| gained(at) * normalized(at)).sum::<f64>() / count;
        for &at in &places {
            made.output[at] = y(at) * if y(at) <= 0.0 { slope } else { 1.0 };
            made.input[at] = inverse * (gained(at) - constant - normalized(at) * along);
            made.scale[channel(at)] += before(at) * normalized(at);
            made.shift[channel(at)] += before(at);
        }
    }
    made
}

/// Concatenates maps, each `[batch, channels, ...]`, along channels.
fn joined(maps: &[Vec<f32>], channels: &[usize]) -> Vec<f64> {
    let rows =
        |image: usize| maps.iter().zip(channels).flat_map(move |(map, own)| &map[image * own * PIXELS..][..own * PIXELS]);
    (0..BATCH).flat_map(rows).map(|&value| f64::from(value)).collect()
}

fn far(actual: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let apart: f64 = actual.iter().zip(expected).map(|(a, e)| (f64::from(*a) - e).powi(2)).sum();
    (apart / expected.iter().map(|e| e * e).sum::<f64>()).sqrt()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as().expect("float32")
}

/// Compares the kernels' results for a norm over maps with the given channels: the errors of the output and of the gradients of
/// the inputs, scale and shift, relative L2.
fn compared(device: &Device, kind: NormKind, parts: &[usize], slope: f32) -> [f64; 4] {
    let channels = parts.iter().sum();
    let norm = Norm::new(&mut Layout::default(), "norm", channels, NormOptions::new(kind), Activation::Relu);
    let maps: Vec<_> = parts.iter().zip(1..).map(|(&own, seed)| map(own, seed)).collect();
    let upstream: Vec<_> = parts.iter().zip(11..).map(|(&own, seed)| noise(BATCH * own * PIXELS, seed)).collect();
    let [scale, shift] = [21, 22].map(|seed| noise(channels, seed));
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
    let affine = [&*wide(&scale), &*wide(&shift)];
    let expected = expected(&norm, f64::from(slope), &joined(&maps, parts), &joined(&upstream, parts), affine);

    let there = |maps: &[Vec<f32>]| -> Vec<Tensor<4>> {
        maps.iter().zip(parts).map(|(map, &own)| upload(map, [BATCH, own, HEIGHT, WIDTH], device)).collect()
    };
    let inputs = there(&maps);
    let partials = inputs.iter().map(|map| partial(map.clone()).expect("a map"));
    let Merged { mean, inverse, .. } = merge(&norm, join(partials.collect()).expect("maps"));
    let (scale, shift) = (upload(&scale, [channels], device), upload(&shift, [channels], device));
    let mut start = 0;
    let normed: Vec<_> = inputs
        .into_iter()
        .zip(parts)
        .map(|(map, &own)| {
            let plane = |of: &Tensor<2>| of.clone().narrow(1, start, own);
            let channel = |of: &Tensor<1>| of.clone().narrow(0, start, own);
            let (mean, inverse, scale, shift) = (plane(&mean), plane(&inverse), channel(&scale), channel(&shift));
            start += own;
            Normed { map, mean, inverse, scale, shift, slope }
        })
        .collect();
    let side_by_side = |maps: Vec<Tensor<4>>| values(Tensor::cat(maps, 1));
    let output = normed.iter().map(|normed| activate(normed.clone()).expect("a map")).collect();
    let [scale_sum, shift_sum] = [(); 2].map(|()| upload(&vec![1.0; channels], [channels], device));
    let parameters = Parameters { scale, inverse, scale_sum: scale_sum.clone(), shift_sum: shift_sum.clone() };
    let made = norm_input(&norm, normed, there(&upstream), parameters).expect("maps");
    [
        far(&side_by_side(output), &expected.output),
        far(&side_by_side(made), &expected.input),
        far(&values(scale_sum - 1.0), &expected.scale),
        far(&values(shift_sum - 1.0), &expected.shift),
    ]
}

#[test]
fn norms_over_maps_side_by_side_are_those_of_one_map() {
    let Some(device) = crate::device::open("wgpu").map_err(|error| eprintln!("skipped: {error}")).ok() else { return };
    let cases = [
        // Groups of three: channels 6, 7 and 8 span both maps. The maps' pieces differ.
        (NormKind::Group, &[8, 16][..]),
        // The same with channel counts that are only divisible by two.
        (NormKind::Group, &[10, 14]),
        // Three maps, one within a single group.
        (NormKind::Group, &[7, 1, 24]),
        (NormKind::Group, &[24]),
        (NormKind::Batch, &[5, 8]),
        (NormKind::Instance, &[3, 4]),
    ];
    for (kind, parts) in cases {
        for slope in [0.0, 1.0, 0.1] {
            let errors = compared(&device.device, kind, parts, slope);
            assert!(errors.iter().all(|&error| error < 2e-6), "{kind:?} over {parts:?} with slope {slope}: {errors:?}");
        }
    }
}
