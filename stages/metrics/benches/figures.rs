//! Times the figures of one image: `cargo bench -p pipeline-metrics --bench figures -- [MASK.png]`, without a mask of a drawn grid of
//! vessels, 2048 x 2048.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use pipeline_contract::stage_rng;
use pipeline_metrics::{Betti, ClDice, Image, ImageFigures, Mask, Ranking, hausdorff95, skeleton, workspace};
use rand::RngExt as _;

/// The fastest of a few runs, in milliseconds.
fn milliseconds<T>(mut work: impl FnMut() -> T) -> f64 {
    let times = (0..7).map(|_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_secs_f64() * 1e3
    });
    times.fold(f64::INFINITY, f64::min)
}

/// `[height, width]`, 0 or 1.
fn mask() -> (usize, usize, Vec<u8>) {
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    if let Some(image) = given.and_then(|path| image::open(path).ok()) {
        let channels = usize::from(image.color().channel_count());
        let pixels = image.as_bytes().iter().step_by(channels).map(|&value| u8::from(value > 127)).collect();
        return (image.height() as usize, image.width() as usize, pixels);
    }
    let side = 2048;
    let bars = |at: usize| u8::from((at % side + at / side / 3) % 90 < 7 || (at / side) % 120 < 4);
    (side, side, (0..side * side).map(bars).collect())
}

fn main() {
    let (height, width, truth) = mask();
    let mut rng = stage_rng(1, 0, "image", "bench");
    // The truth moved by three rows, with noise that makes a few pixels wrong.
    let moved = |at: usize| f32::from(truth[at.saturating_sub(3 * width)]);
    let mut noisy = |at: usize| {
        let noise = 0.32 * (rng.random::<f32>() + rng.random::<f32>() - 1.0);
        (0.2 + 0.6 * moved(at) + noise).clamp(0.0, 1.0)
    };
    let near: Vec<f32> = (0..height * width).map(&mut noisy).collect();
    let noise: Vec<f32> = (0..height * width).map(|_| rng.random()).collect();
    let share = truth.iter().map(|&pixel| f64::from(pixel)).sum::<f64>() / truth.len() as f64;
    println!("{height} x {width}, {:.1}% vessel, {} threads, milliseconds", 100.0 * share, rayon::current_num_threads());
    for (name, probabilities) in [("a good prediction", near), ("all vessel", vec![0.9; height * width]), ("noise", noise)] {
        let predicted: Vec<u8> = probabilities.iter().map(|&p| u8::from(p > 0.5)).collect();
        let [prediction, mask] = [&predicted, &truth].map(|pixels| Mask::new(height, width, pixels));
        let image = Image { height, width, probabilities: &probabilities, truth: &truth, inside: None };
        println!("{name}:");
        let show = |figure: &str, time: f64| println!("  {figure:28} {time:7.1}");
        let rank = || {
            let mut ranking = Ranking::default();
            ranking.add(&probabilities, &truth, None);
            ranking.finish()
        };
        show("AUC and average precision", milliseconds(rank));
        show("skeleton of the prediction", milliseconds(|| skeleton(&prediction)));
        show("clDice", milliseconds(|| ClDice::of(&prediction, &mask)));
        show("Betti numbers of both", milliseconds(|| [Betti::of(&prediction), Betti::of(&mask)]));
        show("Hausdorff 95", milliseconds(|| hausdorff95(&prediction, &mask)));
        show("all", milliseconds(|| ImageFigures::of(&image, 0.5)));
    }
    println!("workspace {:.1} MiB", workspace(height, width) as f64 / f64::from(1 << 20));
}
