//! The memory that an image's figures take is at most what `workspace` says. In a program of its own: the count is the whole program's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pipeline_contract::memory::{CountingAllocator, Side, reset_peak, usage};
use pipeline_contract::stage_rng;
use pipeline_metrics::{Image, ImageFigures, workspace};
use rand::RngExt as _;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn figures_take_no_more_than_they_say() {
    let mut rng = stage_rng(1, 0, "image", "workspace");
    // Threads that aren't there yet would count.
    rayon::join(|| (), || ());
    // Lines that are edge everywhere; noise; nothing; everything.
    type Draw = fn(usize, f32) -> f32;
    let draws: [Draw; 4] = [|at, _| (at % 2) as f32, |_, random| random, |_, _| 0.0, |_, random| 0.6 + random / 3.0];
    for (height, width) in [(301, 402), (900, 120), (65, 1200)] {
        for (kind, draw) in draws.iter().enumerate() {
            let probabilities: Vec<f32> = (0..height * width).map(|at| draw(at, rng.random())).collect();
            let truth: Vec<u8> = (0..height * width).map(|at| u8::from(draw(at, rng.random()) > 0.5)).collect();
            let inside = vec![1; height * width];
            let image = Image { height, width, probabilities: &probabilities, truth: &truth, inside: Some(&inside) };
            let before = usage(Side::Host).unwrap().now;
            reset_peak(Side::Host);
            ImageFigures::of(&image, 0.5);
            let taken = usage(Side::Host).unwrap().peak - before;
            let most = workspace(height, width);
            assert!(taken <= most, "{taken} bytes of {most}, {height} x {width}, {kind}");
            assert!(most < 21 * (height * width) as u64 + (1 << 18), "{most} bytes for {height} x {width}");
        }
    }
}
