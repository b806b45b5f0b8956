//! The convolution and its gradients against a plain computation in float64, over many shapes.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod reference;

use half::{bf16, f16};
use pipeline_kernels::*;
use reference::{ACTIVATIONS, activated};
use std::ops::Range;

/// A small generator, so that every run sees the same shapes and values.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as u32
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    /// In -1..1.
    fn value(&mut self) -> f32 {
        self.next() as f32 / (1u32 << 30) as f32 - 1.0
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value()).collect()
    }
}

/// One map in storage, with what is applied on reading.
struct Map<E> {
    values: Vec<E>,
    channels: usize,
    affine: Option<Vec<[f32; 2]>>,
    activation: Activation,
}

impl<E: Element> Map<E> {
    fn random(random: &mut Random, channels: usize, area: Area, affine: bool) -> Self {
        let values = stored(&random.values(area.values(channels)));
        let affine = affine.then(|| (0..area.batch * channels).map(|_| [random.value() + 1.0, random.value()]).collect());
        Map { values, channels, affine, activation: ACTIVATIONS[random.below(3)] }
    }

    fn view(&self) -> View<'_, E> {
        View { affine: self.affine.as_deref(), activation: self.activation, ..View::plain(&self.values, self.channels) }
    }
}

fn stored<E: Element>(values: &[f32]) -> Vec<E> {
    let mut stored = vec![E::default(); values.len()];
    E::narrow(values, &mut stored);
    stored
}

fn widened<E: Element>(values: &[E]) -> Vec<f32> {
    let mut wide = vec![0.0; values.len()];
    E::widen(values, &mut wide);
    wide
}

/// The inputs as they are read, one after the other along channels.
fn read<E: Element>(maps: &[Map<E>], area: Area) -> Vec<f64> {
    let mut all = Vec::new();
    for sample in 0..area.batch {
        for map in maps {
            for channel in 0..map.channels {
                let place = sample * map.channels + channel;
                let plane = widened(&map.values[place * area.pixels()..][..area.pixels()]);
                let [scale, shift] = map.affine.as_ref().map_or([1.0, 0.0], |affine| affine[place]);
                all.extend(plane.iter().map(|value| f64::from(activated(map.activation, scale * value + shift))));
            }
        }
    }
    all
}

/// Calls with the indices of output, input and weight of every product of the convolution.
fn products(shape: ConvolutionShape, mut each: impl FnMut(usize, usize, usize)) {
    let ConvolutionShape { geometry, inputs, outputs, area: Area { batch, height, width } } = shape;
    let Geometry { size, stride, dilation } = geometry;
    let (taps, small) = (size * size, geometry.output(shape.area));
    let padding = if size == 2 { 0 } else { dilation * (size / 2) };
    for (b, o, i) in (0..batch * outputs * inputs).map(|n| (n / inputs / outputs, n / inputs % outputs, n % inputs)) {
        for (pixel, tap) in (0..small.pixels() * taps).map(|n| (n / taps, n % taps)) {
            let row = (pixel / small.width * stride + tap / size * dilation).wrapping_sub(padding);
            let column = (pixel % small.width * stride + tap % size * dilation).wrapping_sub(padding);
            if row < height && column < width {
                let out = (b * outputs + o) * small.pixels() + pixel;
                each(out, ((b * inputs + i) * height + row) * width + column, (o * inputs + i) * taps + tap);
            }
        }
    }
}

/// The relative difference of the whole, by the sum of squares.
fn difference(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let apart = squares(&mut found.iter().zip(expected).map(|(found, expected)| f64::from(*found) - expected));
    apart.sqrt() / squares(&mut expected.iter().copied()).sqrt().max(1e-3)
}

/// One layer: shapes and values.
struct Case<E> {
    shape: ConvolutionShape,
    inputs: Vec<Map<E>>,
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    activation: Activation,
    upstream: Vec<E>,
    wanted: Range<usize>,
}

/// The results of the three kernels.
#[derive(PartialEq)]
struct Results {
    out: Vec<f32>,
    input_gradient: Vec<f32>,
    weight_gradient: Vec<f32>,
}

impl<E: Element> Case<E> {
    /// Sides are made even where the stride is 2.
    fn random(random: &mut Random, geometry: Geometry, mut area: Area, channels: &[usize], outputs: usize) -> Self {
        area.height = area.height.next_multiple_of(geometry.stride);
        area.width = area.width.next_multiple_of(geometry.stride);
        let mut inputs = Vec::new();
        for channels in channels {
            let affine = random.below(2) == 0;
            inputs.push(Map::random(random, *channels, area, affine));
        }
        let all: usize = channels.iter().sum();
        let start = random.below(all);
        let wanted = start..start + 1 + random.below(all - start);
        let weight = random.values(outputs * all * geometry.taps());
        let bias = (random.below(2) == 0).then(|| random.values(outputs));
        let activation = ACTIVATIONS[random.below(3)];
        let upstream = stored(&random.values(geometry.output(area).values(outputs)));
        let shape = ConvolutionShape { geometry, inputs: all, outputs, area };
        Case { shape, inputs, weight, bias, activation, upstream, wanted }
    }

    /// Runs the kernels with workspaces of the exact lengths, full of NaN.
    fn run(&self) -> Results {
        let (shape, wanted) = (self.shape, self.wanted.clone());
        let views: Vec<_> = self.inputs.iter().map(Map::view).collect();
        let mut out = stored(&vec![f32::NAN; self.upstream.len()]);
        let mut workspace = vec![f32::NAN; convolve_workspace(shape)];
        convolve(shape, &views, &self.weight, self.bias.as_deref(), self.activation, &mut out, &mut workspace);

        let mut input_gradient = stored(&vec![f32::NAN; shape.area.values(wanted.len())]);
        let mut workspace = vec![f32::NAN; convolve_input_gradient_workspace(shape, wanted.len())];
        let target = &mut input_gradient;
        convolve_input_gradient::<E>(shape, &self.upstream, &self.weight, wanted, target, &mut workspace);

        let mut weight_gradient = vec![1.0; self.weight.len()];
        let mut workspace = vec![f32::NAN; convolve_weight_gradient_workspace(shape)];
        convolve_weight_gradient(shape, &views, &self.upstream, &mut weight_gradient, &mut workspace);
        Results { out: widened::<E>(&out), input_gradient: widened::<E>(&input_gradient), weight_gradient }
    }

    /// Compares with the plain computation; `rounding` is the storage's.
    fn check(&self, rounding: f64) {
        let ConvolutionShape { inputs, outputs, area, .. } = self.shape;
        let (x, upstream) = (read(&self.inputs, area), widened(&self.upstream));
        let per_output = upstream.len() / area.batch / outputs;
        let bias = |index: usize| self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[index / per_output % outputs]));
        let mut out: Vec<f64> = (0..upstream.len()).map(bias).collect();
        let mut input_gradient = vec![0.0; area.values(inputs)];
        let mut weight_gradient = vec![1.0; self.weight.len()];
        products(self.shape, |o, i, w| {
            out[o] += f64::from(self.weight[w]) * x[i];
            input_gradient[i] += f64::from(self.weight[w]) * f64::from(upstream[o]);
            weight_gradient[w] += f64::from(upstream[o]) * x[i];
        });
        out.iter_mut().for_each(|out| *out = f64::from(activated(self.activation, *out as f32)));
        let plane = area.pixels();
        let wanted: Vec<f64> = (0..area.batch)
            .flat_map(|b| &input_gradient[(b * inputs + self.wanted.start) * plane..][..self.wanted.len() * plane])
            .copied()
            .collect();
        let found = self.run();
        let channels: Vec<_> = self.inputs.iter().map(|map| map.channels).collect();
        let shape = format!("{:?}, {channels:?}, wanted {:?}", self.shape, self.wanted);
        for (what, found, expected, bound) in [
            ("out", &found.out, &out, 1e-6 + rounding),
            ("input gradient", &found.input_gradient, &wanted, 1e-6 + rounding),
            ("weight gradient", &found.weight_gradient, &weight_gradient, 1e-6),
        ] {
            let difference = difference(found, expected);
            assert!(difference < bound, "{what} of {shape}: {difference}");
        }
    }
}

fn random_cases<E: Element>(seed: u64, count: usize, rounding: f64) {
    let mut random = Random(seed);
    for geometry in Geometry::SUPPORTED {
        for _ in 0..count {
            let area = Area { batch: 1 + random.below(3), height: 1 + random.below(20), width: 1 + random.below(24) };
            let channels: Vec<usize> = (0..1 + random.below(3)).map(|_| 1 + random.below(9)).collect();
            let outputs = 1 + random.below(11);
            Case::<E>::random(&mut random, geometry, area, &channels, outputs).check(rounding);
        }
    }
}

#[test]
fn float32_over_random_shapes() {
    random_cases::<f32>(1, 150, 0.0);
}

#[test]
fn float16_over_random_shapes() {
    random_cases::<f16>(2, 40, 1.0 / 2048.0);
}

#[test]
fn bfloat16_over_random_shapes() {
    random_cases::<bf16>(3, 40, 1.0 / 256.0);
}

#[test]
fn shapes_at_the_edges_of_tiles_chunks_and_groups() {
    let mut random = Random(4);
    for (batch, height, width, channels, outputs) in [
        (1, 1, 1, &[1][..], 1),
        (3, 1, 1, &[2, 3], 5),
        (2, 2, 2, &[33], 65),
        (1, 1, 300, &[3], 4),
        (1, 300, 1, &[3], 4),
        (1, 20, 128, &[5], 6),
        (1, 20, 129, &[5], 6),
        (2, 9, 257, &[2, 1], 3),
        (1, 6, 516, &[2, 1], 3),
        (1, 4, 4, &[40, 30], 130),
        (1, 8, 8, &[64], 64),
        (2, 33, 65, &[17, 16], 33),
        (1, 12, 14, &[13, 7, 120], 13),
        (1, 70, 70, &[4], 4),
    ] {
        for geometry in Geometry::SUPPORTED {
            Case::<f32>::random(&mut random, geometry, Area { batch, height, width }, channels, outputs).check(0.0);
        }
    }
}

/// `<A x, g> = <x, A^T g>`, and the same for the weights: each kernel against another, without the plain computation.
#[test]
fn gradients_are_adjoint() {
    let mut random = Random(6);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    for geometry in Geometry::SUPPORTED {
        let area = Area { batch: 2, height: 26, width: 150 };
        let mut case = Case::<f32>::random(&mut random, geometry, area, &[7, 5], 13);
        (case.bias, case.activation, case.wanted) = (None, Activation::Identity, 0..12);
        let x: Vec<f32> = read(&case.inputs, area).into_iter().map(|x| x as f32).collect();
        let results = case.run();
        let forward = dot(&results.out, &case.upstream);
        let gradient: Vec<f32> = results.weight_gradient.iter().map(|sum| sum - 1.0).collect();
        for backward in [dot(&x, &results.input_gradient), dot(&case.weight, &gradient)] {
            assert!((forward - backward).abs() < 1e-2, "{geometry:?}: {forward} and {backward}");
        }
    }
}

#[test]
fn same_bytes_for_any_number_of_threads() {
    let mut random = Random(5);
    let shapes = [(2, 40, 50, &[3][..], 16), (1, 130, 260, &[2, 2], 5), (2, 6, 6, &[70], 70), (3, 3, 2, &[1], 1)];
    for ((batch, height, width, channels, outputs), geometry) in
        shapes.into_iter().flat_map(|shape| Geometry::SUPPORTED.map(|geometry| (shape, geometry)))
    {
        let area = Area { batch, height, width };
        let case = Case::<f32>::random(&mut random, geometry, area, channels, outputs);
        let half = Case::<f16>::random(&mut random, geometry, area, channels, outputs);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| (case.run(), half.run()))
        };
        let one = run(1);
        for threads in 2..=4 {
            assert!(run(threads) == one, "{threads} threads, {:?}", case.shape);
        }
    }
}

#[test]
fn nan_and_infinity_come_through() {
    let area = Area { batch: 1, height: 6, width: 5 };
    let shape = ConvolutionShape { geometry: Geometry::THREE, inputs: 2, outputs: 1, area };
    let mut values = vec![0.5f32; area.values(2)];
    values[2 * 5 + 2] = f32::NAN;
    let affine = [[1.0, 0.0]; 2];
    let views = [View::normed(&values, 2, &affine, Activation::Relu)];
    let mut out = vec![0.0; area.values(1)];
    let mut workspace = vec![0.0; convolve_workspace(shape)];
    convolve(shape, &views, &[1.0; 18], None, Activation::Relu, &mut out, &mut workspace);
    for (place, value) in out.iter().enumerate() {
        let near = (place / 5).abs_diff(2) <= 1 && (place % 5).abs_diff(2) <= 1;
        assert_eq!(value.is_nan(), near, "pixel {place}");
    }
}

#[test]
#[should_panic(expected = "is not supported")]
fn an_unsupported_geometry() {
    let geometry = Geometry { size: 5, stride: 1, dilation: 1 };
    convolve_workspace(ConvolutionShape { geometry, inputs: 1, outputs: 1, area: Area { batch: 1, height: 8, width: 8 } });
}

#[test]
#[should_panic(expected = "sides of")]
fn odd_sides_with_a_stride() {
    Geometry::THREE_STRIDE_2.output(Area { batch: 1, height: 8, width: 7 });
}
