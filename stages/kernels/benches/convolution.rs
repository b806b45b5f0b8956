//! Times single layers: `cargo bench -p pipeline-kernels --bench convolution`, with parts of the names of the shapes wanted
//! as arguments.
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use half::{bf16, f16};
use pipeline_kernels::*;
use std::time::Instant;

/// Channels of each input, outputs, and the side of the square map.
const LAYERS: [(&[usize], usize, usize); 10] = [
    (&[3], 16, 512),
    (&[16], 16, 512),
    (&[16, 16], 16, 512),
    (&[32], 32, 256),
    (&[128], 128, 64),
    (&[64], 64, 1024),
    (&[512], 512, 64),
    (&[512, 512], 512, 64),
    (&[16], 16, 32),
    (&[256], 256, 8),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let run = |channels: &[usize], outputs: usize, side: usize, geometry: Geometry| {
        let Geometry { size, stride, dilation } = geometry;
        let name = format!("{size}x{size} s{stride} d{dilation} {channels:?} to {outputs}, {side}x{side}");
        if wanted.is_empty() || wanted.iter().any(|part| name.contains(part)) {
            layer::<f32>(&name, "f32", channels, outputs, side, geometry);
            layer::<f16>(&name, "f16", channels, outputs, side, geometry);
            layer::<bf16>(&name, "bf16", channels, outputs, side, geometry);
        }
    };
    for (channels, outputs, side) in LAYERS {
        run(channels, outputs, side, Geometry::THREE);
    }
    for (channels, side) in [(64, 256), (32, 512)] {
        for geometry in Geometry::SUPPORTED {
            run(&[channels], channels, side, geometry);
        }
    }
}

fn layer<E: Element>(name: &str, kind: &str, channels: &[usize], outputs: usize, side: usize, geometry: Geometry) {
    let area = Area { batch: 1, height: side, width: side };
    let inputs: usize = channels.iter().sum();
    let shape = ConvolutionShape { geometry, inputs, outputs, area };
    let fill = |count: usize| {
        let wide: Vec<f32> = (0..count).map(|i| (i * 7 % 13) as f32 * 0.1 - 0.6).collect();
        let mut values = vec![E::default(); count];
        E::narrow(&wide, &mut values);
        values
    };
    let affine: Vec<[f32; 2]> = (0..inputs).map(|i| [1.0, i as f32 * 0.001]).collect();
    let maps: Vec<Vec<E>> = channels.iter().map(|channels| fill(area.values(*channels))).collect();
    let views: Vec<_> = maps
        .iter()
        .zip(channels)
        .map(|(values, channels)| View::normed(values, *channels, &affine[..*channels], Activation::Relu))
        .collect();
    let upstream = fill(geometry.output(area).values(outputs));
    let weight: Vec<f32> = (0..outputs * inputs * geometry.taps()).map(|i| (i * 5 % 11) as f32 * 0.1 - 0.5).collect();
    let (mut out, mut input_gradient) = (upstream.clone(), fill(area.values(inputs)));
    let mut gradient = vec![0.0; weight.len()];
    let most = convolve_workspace(shape)
        .max(convolve_input_gradient_workspace(shape, inputs))
        .max(convolve_weight_gradient_workspace(shape));
    let mut workspace = vec![0.0; most];
    let work = 2.0 * (weight.len() * geometry.output(area).pixels()) as f64;
    let forward = best(|| convolve(shape, &views, &weight, None, Activation::Identity, &mut out, &mut workspace));
    let back = best(|| {
        convolve_input_gradient(shape, &upstream, &weight, 0..inputs, &mut input_gradient, &mut workspace);
    });
    let weights = best(|| convolve_weight_gradient(shape, &views, &upstream, &mut gradient, &mut workspace));
    print!("{name:38} {kind:5}");
    for (what, seconds) in [("forward", forward), ("input", back), ("weight", weights)] {
        print!("  {what} {:8.3} ms {:6.1} GFLOP/s", seconds * 1e3, work / seconds / 1e9);
    }
    println!("  workspace {:.2} MiB", most as f64 * 4.0 / 1048576.0);
}

/// The shortest of several runs, in seconds.
fn best(mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut best = f64::INFINITY;
    let mut runs = 0;
    while runs < 3 || start.elapsed().as_secs_f64() < 0.4 {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    best
}
