//! Compares the convolutions with sums in float64: every geometry, several inputs, norms, odd sizes and numbers of channels. Runs on
//! the device that the variable PIPELINE_TEST_DEVICE names (`wgpu` by default), if this build and this machine have it; on Vulkan
//! with matrix units (tests/support/software-vulkan) half precision takes them.
#![expect(clippy::expect_used, clippy::print_stderr, reason = "tests may panic and talk")]

use burn::tensor::{DType, Device, Tensor, TensorData};
use pipeline_kernels::{Area, Geometry};

use super::super::normed::{Normed, Read};
use super::super::tests::noise;
use super::choice::{Extent, tiles};
use super::form::Tile;
use super::{
    Chip, Convolution, Packs, Wanted, Weight, chip, convolve, convolve_input, convolve_weight, upsample, upsample_input,
    upsample_weight,
};
use crate::precision::Precision;

/// A device, and the type that maps are stored in.
struct Place {
    device: Device,
    dtype: DType,
    chip: Chip,
}

impl Place {
    fn tensor<const D: usize>(&self, values: &[f32], shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), (&self.device, DType::F32))
    }

    /// A map `[batch, channels, height, width]` from values with the channels last.
    fn map(&self, values: &[f32], [batch, height, width, channels]: [usize; 4]) -> Tensor<4> {
        self.tensor(values, [batch, height, width, channels]).cast(self.dtype).permute([0, 3, 1, 2])
    }

    /// The values as maps hold them.
    fn rounded(&self, values: &[f32]) -> Vec<f32> {
        read(self.tensor(values, [values.len()]).cast(self.dtype))
    }
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.cast(DType::F32).try_into_vec_as().expect("values")
}

/// A map's values with the channels last.
fn pixels(map: Tensor<4>) -> Vec<f32> {
    read(map.permute([0, 2, 3, 1]))
}

/// An input: what a convolution reads, and the values that it sees, with the channels last.
struct Seen {
    read: Box<dyn Fn() -> Read>,
    values: Vec<f32>,
    channels: usize,
}

fn seen(place: &Place, [batch, height, width, channels]: [usize; 4], normed: bool, seed: u64) -> Seen {
    let raw = place.rounded(&noise(batch * height * width * channels, seed));
    let map = place.map(&raw, [batch, height, width, channels]);
    if !normed {
        return Seen { read: Box::new(move || Read::Plain(map.clone())), values: raw, channels };
    }
    let [mean, inverse] = [1, 2].map(|more| noise(batch * channels, seed + more));
    let inverse: Vec<f32> = inverse.iter().map(|value| value + 1.5).collect();
    let [scale, shift] = [3, 4].map(|more| noise(channels, seed + more));
    let slope = 0.1;
    let value = |(at, value): (usize, &f32)| {
        let (channel, plane) = (at % channels, at / (height * width * channels) * channels + at % channels);
        let y = (value - mean[plane]) * inverse[plane] * scale[channel] + shift[channel];
        if y <= 0.0 { slope * y } else { y }
    };
    let mut values: Vec<f32> = raw.iter().enumerate().map(value).collect();
    if place.chip.unit.is_some() {
        values = place.rounded(&values); // without matrix units, products are in float32
    }
    let [mean, inverse] = [mean, inverse].map(|values| place.tensor(&values, [batch, channels]));
    let [scale, shift] = [scale, shift].map(|values| place.tensor(&values, [channels]));
    let normed = Normed { map, mean, inverse, scale, shift, slope };
    Seen { read: Box::new(move || Read::Normed(normed.clone())), values, channels }
}

#[track_caller]
fn close(what: &str, got: &[f32], want: &[f64], bound: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let error = norm(&mut got.iter().zip(want).map(|(got, want)| f64::from(*got) - want));
    let error = error / norm(&mut want.iter().copied()).max(1e-30);
    assert!(error < bound, "{what}: {error:.2e} off");
}

/// Calls `each` with the index in the output, the pixel of the input that a tap reads, and the tap.
fn taps(geometry: Geometry, [batch, height, width]: [usize; 3], mut each: impl FnMut(usize, usize, usize)) {
    let Geometry { size, stride, dilation } = geometry;
    let (rows, columns) = (height / stride, width / stride);
    for out in 0..batch * rows * columns {
        let (image, y, x) = (out / (rows * columns), out / columns % rows, out % columns);
        for tap in 0..geometry.taps() {
            let row = (y * stride + tap / size * dilation).wrapping_sub(geometry.padding());
            let column = (x * stride + tap % size * dilation).wrapping_sub(geometry.padding());
            if row < height && column < width {
                each(out, (image * height + row) * width + column, tap);
            }
        }
    }
}

/// Relative L2: rounding of the maps; and of weights' gradients, whose factors a norm may leave on the other side of a rounding.
fn bounds(precision: Precision) -> [f64; 2] {
    match precision {
        Precision::Float32 => [1e-6, 1e-5],
        Precision::Float16 | Precision::Tf32 => [1e-3, 1e-4],
        Precision::BFloat16 => [8e-3, 1e-3],
    }
}

fn compare(place: &Place, precision: Precision, size: [usize; 3], parts: &[(usize, bool)], outputs: usize, geometry: Geometry) {
    let what = format!("{precision:?}, {size:?}, {parts:?} to {outputs}, {geometry:?}");
    let [batch, height, width] = size;
    let inputs: Vec<Seen> = parts
        .iter()
        .zip(1..)
        .map(|(&(channels, normed), at)| seen(place, [batch, height, width, channels], normed, 10 * at))
        .collect();
    let channels: usize = parts.iter().map(|(channels, _)| channels).sum();
    let count = geometry.taps();
    // Pixels with the channels of all inputs.
    let all: Vec<f64> = (0..batch * height * width)
        .flat_map(|pixel| inputs.iter().flat_map(move |input| &input.values[pixel * input.channels..][..input.channels]))
        .map(|&value| f64::from(value))
        .collect();
    let weight = place.rounded(&noise(outputs * channels * count, 5));
    let bias = noise(outputs, 6);
    let [rows, columns] = [height, width].map(|side| side / geometry.stride);
    let upstream = place.rounded(&noise(batch * rows * columns * outputs, 7));
    let mut out = vec![0.0; upstream.len()];
    let mut input_gradient = vec![0.0; all.len()];
    let mut weight_gradient = vec![0.0; weight.len()];
    taps(geometry, size, |to, from, tap| {
        for output in 0..outputs {
            let gradient = f64::from(upstream[to * outputs + output]);
            for channel in 0..channels {
                let (at, value) = ((output * channels + channel) * count + tap, all[from * channels + channel]);
                out[to * outputs + output] += value * f64::from(weight[at]);
                input_gradient[from * channels + channel] += gradient * f64::from(weight[at]);
                weight_gradient[at] += gradient * value;
            }
        }
    });
    for (at, value) in out.iter_mut().enumerate() {
        *value += f64::from(bias[at % outputs]);
        *value *= if *value <= 0.0 { 0.2 } else { 1.0 };
    }
    let [rounding, sums] = bounds(precision);
    let kernel = place.tensor(&weight, [outputs, channels, geometry.size, geometry.size]);
    let mut packs = Packs::default();
    let weights = || Weight { slot: 0, values: kernel.clone() };
    let (made, partial) = convolve(
        &place.chip,
        &mut packs,
        Convolution {
            inputs: inputs.iter().map(|input| (input.read)()).collect(),
            weight: weights(),
            geometry,
            bias: Some(place.tensor(&bias, [outputs])),
            slope: Some(0.2),
            sums: true,
        },
    )
    .expect("a map");
    let made = pixels(made);
    close(&format!("{what}: map"), &made, &out, rounding);

    // Count, mean and sum of squared deviations over all pieces of an image.
    let partial = partial.expect("partial statistics");
    let [_, pieces, _] = partial.dims;
    let [means, squares] = [&partial.means, &partial.squares].map(|part| read(super::super::nhwc::tensor::<3>(part.clone())));
    let counts = read(super::super::nhwc::tensor::<1>(partial.counts.clone()));
    let (mut got, mut want) = (Vec::new(), Vec::new());
    for plane in 0..batch * outputs {
        let (image, output) = (plane / outputs, plane % outputs);
        let at = |piece: usize| (image * pieces + piece) * outputs + output;
        let value = |pixel: usize| f64::from(made[(image * rows * columns + pixel) * outputs + output]);
        let all = (rows * columns) as f64;
        let mean = (0..rows * columns).map(value).sum::<f64>() / all;
        want.extend([mean, (0..rows * columns).map(|pixel| (value(pixel) - mean).powi(2)).sum::<f64>() / all]);
        let centre = (0..pieces).map(|piece| f64::from(counts[piece] * means[at(piece)])).sum::<f64>() / all;
        let apart = |piece: usize| f64::from(counts[piece]) * (f64::from(means[at(piece)]) - centre).powi(2);
        let spread = (0..pieces).map(|piece| f64::from(squares[at(piece)]) + apart(piece)).sum::<f64>() / all;
        got.extend([centre as f32, spread as f32]);
    }
    // A compiler may take the values before they are rounded.
    close(&format!("{what}: statistics"), &got, &want, (rounding / 4.0).max(1e-5));

    let there = place.map(&upstream, [batch, rows, columns, outputs]);
    let mut before = 0;
    for (own, _) in parts {
        let area = Area { batch, height, width };
        let made = convolve_input(
            &place.chip,
            &mut packs,
            there.clone(),
            weights(),
            geometry,
            Wanted { channels: before..before + own, area },
        );
        let want = (0..batch * height * width).flat_map(|pixel| &input_gradient[pixel * channels + before..][..*own]);
        close(&format!("{what}: input {before}"), &pixels(made.expect("a map")), &want.copied().collect::<Vec<_>>(), rounding);
        before += own;
    }
    let sum = place.tensor(&vec![1.0; weight.len()], [weight.len()]);
    let reads = inputs.iter().map(|input| (input.read)()).collect();
    convolve_weight(&place.chip, reads, Read::Plain(there), geometry, sum.clone()).expect("a gradient");
    let sums = if precision == Precision::Tf32 { rounding } else { sums };
    close(&format!("{what}: weights"), &read(sum - 1.0), &weight_gradient, sums);
}

fn compare_upsampling(
    place: &Place,
    precision: Precision,
    [batch, height, width]: [usize; 3],
    channels: usize,
    outputs: usize,
) {
    let what = format!("{precision:?}, {height} x {width}, {channels} to {outputs}");
    let input = seen(place, [batch, height, width, channels], true, 3);
    let weight = place.rounded(&noise(channels * outputs * 4, 5));
    let bias = noise(outputs, 6);
    let upstream = place.rounded(&noise(4 * batch * height * width * outputs, 7));
    let mut out: Vec<f64> = (0..upstream.len()).map(|at| f64::from(bias[at % outputs])).collect();
    let (mut input_gradient, mut weight_gradient) = (vec![0.0; input.values.len()], vec![0.0; weight.len()]);
    // The reverse of a convolution with stride 2: its output is read, its input written.
    taps(Geometry::TWO_STRIDE_2, [batch, 2 * height, 2 * width], |from, to, tap| {
        for (channel, output) in (0..channels).flat_map(|channel| (0..outputs).map(move |output| (channel, output))) {
            let (at, value) = ((channel * outputs + output) * 4 + tap, f64::from(input.values[from * channels + channel]));
            let gradient = f64::from(upstream[to * outputs + output]);
            out[to * outputs + output] += value * f64::from(weight[at]);
            input_gradient[from * channels + channel] += gradient * f64::from(weight[at]);
            weight_gradient[at] += gradient * value;
        }
    });
    let [rounding, sums] = bounds(precision);
    let kernel = place.tensor(&weight, [channels, outputs, 2, 2]);
    let mut packs = Packs::default();
    let weights = || Weight { slot: 0, values: kernel.clone() };
    let bias = Some(place.tensor(&bias, [outputs]));
    let made = upsample(&place.chip, &mut packs, (input.read)(), weights(), bias).expect("a map");
    close(&format!("{what}: map"), &pixels(made), &out, rounding);
    let there = place.map(&upstream, [batch, 2 * height, 2 * width, outputs]);
    let made = upsample_input(&place.chip, &mut packs, there.clone(), weights()).expect("a map");
    close(&format!("{what}: input"), &pixels(made), &input_gradient, rounding);
    let sum = place.tensor(&vec![1.0; weight.len()], [weight.len()]);
    upsample_weight(&place.chip, (input.read)(), there, sum.clone()).expect("a gradient");
    close(&format!("{what}: weights"), &read(sum - 1.0), &weight_gradient, sums);
}

/// What a test does on each precision that the device has.
fn everywhere(test: impl Fn(Place, Precision)) {
    let name = std::env::var("PIPELINE_TEST_DEVICE").unwrap_or_else(|_| "wgpu".into());
    let Some(opened) = crate::device::open(&name).map_err(|error| eprintln!("skipped: {error}")).ok() else { return };
    for precision in Precision::ALL {
        if crate::device::supports(&opened, precision).is_err() {
            eprintln!("skipped: {name} has no {}", precision.name());
            continue;
        }
        let one = Tensor::<1>::zeros([1], &opened.device);
        let chip = chip(&one, precision).expect("a device");
        test(Place { device: opened.device.clone(), dtype: precision.dtype(), chip }, precision);
    }
}

#[test]
fn convolutions_are_right_at_any_size_and_number_of_channels() {
    everywhere(|place, precision| {
        eprintln!("{precision:?}: {:?}", place.chip);
        for geometry in Geometry::SUPPORTED {
            compare(&place, precision, [1, 20, 18], &[(32, true)], 24, geometry);
        }
        compare(&place, precision, [2, 13, 37], &[(8, true), (24, false)], 33, Geometry::THREE);
        compare(&place, precision, [1, 21, 20], &[(3, false)], 20, Geometry::THREE);
        compare(&place, precision, [1, 16, 16], &[(33, true), (4, true), (5, false)], 70, Geometry::ONE);
        compare(&place, precision, [1, 34, 40], &[(16, true)], 72, Geometry::THREE);
        compare_upsampling(&place, precision, [2, 9, 11], 24, 12);
        compare_upsampling(&place, precision, [1, 16, 8], 33, 17);
    });
}

/// Whichever tile is the fastest on a device.
#[test]
fn convolutions_are_right_in_every_tile() {
    everywhere(|mut place, precision| {
        let Some(unit) = place.chip.unit else { return };
        let extent =
            |side: usize, outputs: usize| Extent { batch: 1, height: side, width: side, inputs: 2 * unit.depth, outputs };
        let sizes = [(1024, 8 * unit.columns), (16, 8 * unit.columns), (16, 2 * unit.columns), (16, unit.columns)];
        let mut all = Vec::new();
        for (transposed, (side, outputs)) in [false, true].into_iter().flat_map(|way| sizes.map(|size| (way, size))) {
            all.extend(tiles(&place.chip, unit, Geometry::THREE, transposed, extent(side, outputs)));
        }
        all.sort_unstable_by_key(|&Tile { rows, blocks, down, across, steps }| [rows, blocks, down, across, steps]);
        all.dedup();
        eprintln!("{precision:?}: {} tiles", all.len());
        assert!(all.len() > 5);
        for tile in all {
            place.chip.only = Some(tile);
            compare(&place, precision, [1, 19, 21], &[(24, true)], 35, Geometry::THREE);
            compare_upsampling(&place, precision, [1, 9, 11], 20, 12);
        }
    });
}
