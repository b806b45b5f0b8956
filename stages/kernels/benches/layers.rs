//! Times the layers but for the 3x3 convolution: `cargo bench -p pipeline-kernels --bench layers`.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use half::{bf16, f16};
use pipeline_kernels::*;

/// The fastest of a few runs, in seconds.
fn seconds(mut run: impl FnMut()) -> f64 {
    run();
    let times = (0..3).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

fn map<E: Element>(count: usize) -> Vec<E> {
    let values: Vec<f32> = (0..count).map(|index| (index * 7919 % 1013) as f32 / 500.0 - 1.0).collect();
    let mut map = vec![E::default(); count];
    E::narrow(&values, &mut map);
    map
}

fn upsamples<E: Element>(name: &str, inputs: usize, outputs: usize, side: usize) {
    let area = Area { batch: 1, height: side, width: side };
    let (input, upstream) = (map::<E>(area.values(inputs)), map::<E>(area.values(outputs) * 4));
    let affine = vec![[1.0f32, 0.1]; inputs];
    let view = View::normed(&input, inputs, &affine, Activation::Relu);
    let (weight, bias) = (map::<f32>(inputs * outputs * 4), map::<f32>(outputs));
    let mut workspace = vec![0.0; upsample_workspace(inputs, outputs, area)];
    let (mut out, mut gradient) = (upstream.clone(), input.clone());
    let (mut weight_gradient, mut bias_gradient) = (weight.clone(), bias.clone());
    let work = 8.0 * (inputs * outputs * area.pixels()) as f64 / 1e9;
    let forward = seconds(|| upsample(view, &weight, &bias, area, &mut out, &mut workspace));
    let back = seconds(|| upsample_input_gradient(&upstream, &weight, inputs, outputs, area, &mut gradient, &mut workspace));
    let weights = seconds(|| {
        upsample_weight_gradient(view, &upstream, outputs, area, &mut weight_gradient, &mut bias_gradient, &mut workspace);
    });
    let [a, b, c] = [forward, back, weights].map(|time| work / time);
    let memory = workspace.len() * 4 / 1024;
    println!("upsample {name} {inputs}->{outputs} {side}: {a:.0} {b:.0} {c:.0} GFLOP/s, workspace {memory} KiB");
}

fn planes<E: Element>(name: &str) {
    let (channels, area) = (64, Area { batch: 1, height: 512, width: 512 });
    let x = map::<E>(area.values(channels));
    let size = size_of_val(&x[..]) as f64 / 1e9;
    let (affine, means) = (vec![[1.1f32, 0.1]; channels], vec![0.1f32; channels]);
    let view = View::normed(&x, channels, &affine, Activation::Relu);
    let (mut other, mut quarter) = (x.clone(), map::<E>(x.len() / 4));
    let (mut sums, weight) = (vec![[0.0; 2]; channels], vec![0.5f32; channels]);
    let (mut weight_gradient, mut bias_gradient, mut logits) = (weight.clone(), [0.0], vec![0.1; area.pixels()]);
    let speed = |label: &str, bytes: f64, time: f64| println!("{label} {name}: {:.1} GB/s, {:.1} ms", bytes / time, time * 1e3);
    speed("moments", 2.0 * size, seconds(|| moments(&x, area, &mut sums)));
    speed("norm_sums", 2.0 * size, seconds(|| norm_sums(&x, &other, &affine, Activation::Relu, &means, area, &mut sums)));
    let coefficients = vec![[1.0, 0.01, 0.01]; channels];
    let time = seconds(|| norm_input_gradient(&x, &mut other, &affine, Activation::Relu, &means, &coefficients, area));
    speed("norm_input_gradient", 3.0 * size, time);
    speed("pool", 1.25 * size, seconds(|| pool(view, area, &mut quarter)));
    speed("pool_gradient", 3.25 * size, seconds(|| pool_gradient(view, &quarter, area, &mut other)));
    speed("pointwise", size, seconds(|| pointwise(view, &weight, &[0.1], area, &mut logits)));
    let time = seconds(|| pointwise_input_gradient(&logits, &weight, channels, 1, area, &mut other));
    speed("pointwise_input_gradient", size, time);
    let time = seconds(|| pointwise_weight_gradient(view, &logits, 1, area, &mut weight_gradient, &mut bias_gradient));
    speed("pointwise_weight_gradient", size, time);
}

fn flat() {
    let count = 1 << 22;
    let (mut weight, mut x, mut first, mut second) = (map::<f32>(count), map::<f32>(count), vec![0.0; count], vec![0.0; count]);
    let size = (4 * count) as f64 / 1e9;
    let step =
        AdamStep { beta1: 0.9, beta2: 0.999, eps: 1e-8, lr: 1e-3, weight_decay: 0.01, decoupled: true, step: 3, factor: 0.5 };
    println!("adam: {:.1} GB/s", 7.0 * size / seconds(|| adam(&step, &mut weight, &x, &mut first, &mut second)));
    println!("sum_of_squares: {:.1} GB/s", size / seconds(|| assert!(sum_of_squares(&weight) > 0.0)));
    println!("all_finite: {:.1} GB/s", size / seconds(|| assert!(all_finite(&weight))));
    println!("add: {:.1} GB/s", 3.0 * size / seconds(|| add(&mut x, &weight)));
}

fn main() {
    for (inputs, outputs, side) in [(1024, 512, 64), (512, 256, 128), (128, 64, 512), (64, 32, 16)] {
        upsamples::<f32>("f32", inputs, outputs, side);
        upsamples::<f16>("f16", inputs, outputs, side);
        upsamples::<bf16>("bf16", inputs, outputs, side);
    }
    planes::<f32>("f32");
    planes::<f16>("f16");
    planes::<bf16>("bf16");
    flat();
}
