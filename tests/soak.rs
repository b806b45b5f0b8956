//! Kills a run at random moments, again and again, and compares the result with an undisturbed run. A few kills here;
//! `PIPELINE_SOAK_KILLS=100 cargo test --release --test soak -- --nocapture` for many.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(unix)]

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use support::{Small, checkpoints, drawn, drawn_with, outcome, photographs, said};

/// Networks beside the plain U-Net.
const NETWORKS: [&str; 5] = [
    "{resunet: {base: 4, depth: 3, groups: 4}}",
    "{wnet: {base: 4, depth: 3}}",
    "{wnet: {base: 4, depth: 2, norm: group, groups: 4, feed: logits}}",
    "{frunet: {base: 2, depth: 3, norm: instance}}",
    "{unet: {base: 4, depth: 4, deep_supervision: true}}",
];

/// Where a kill is aimed.
#[derive(Debug, Clone, Copy)]
enum Aim {
    /// Anywhere.
    Time,
    /// While a checkpoint is being written.
    Checkpoint,
    /// While test images are evaluated, after the last step of an epoch.
    EpochEnd,
}

/// Whether it is the moment to kill.
fn hit(aim: Aim, out: &Path, started: Instant, wait: Duration) -> bool {
    if started.elapsed() < wait {
        return false;
    }
    match aim {
        Aim::Time => true,
        Aim::Checkpoint => fs::read_dir(out.join("checkpoint")).is_ok_and(|mut all| {
            all.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(".tmp")))
        }),
        Aim::EpochEnd => {
            let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap_or_default();
            text.lines().last().is_some_and(|line| line.contains("\"event\":\"epoch\""))
        }
    }
}

/// Kills runs of a pipeline, several times each, until `kills` is reached; each run must give the result of an undisturbed
/// one. `workers` is the key of their number.
fn soak(small: &Small, workers: &str, kills: usize, rng: &mut StdRng) {
    let folder = tempfile::tempdir().unwrap();
    let reference = folder.path().join("reference");
    let started = Instant::now();
    let output = small.run(&reference, &[], &[]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let best = support::model::weights(&reference, "model");
    let (length, reference) = (started.elapsed(), outcome(&reference));
    let (mut killed, mut runs, mut inside) = (0, 0, [0; 3]);
    while killed < kills {
        let out = folder.path().join(format!("run{runs}"));
        runs += 1;
        // Each time with other workers and another rhythm of checkpoints.
        loop {
            let workers = format!("{workers}={}", rng.random_range(0..4));
            let often = ["every_minutes: 0", "every_steps: 1", "every_steps: 3"][rng.random_range(0..3)];
            let often = format!("trainer.checkpoint={{{often}, keep: {}}}", rng.random_range(1..4));
            let aim = [Aim::Time, Aim::Checkpoint, Aim::EpochEnd][rng.random_range(0..3)];
            let wait = length.mul_f64(rng.random_range(0.0..0.6));
            let (started, last) = (Instant::now(), checkpoints(&out));
            let mut child = small.run(&out, &[&workers, &often], &["--resume"]).spawn().unwrap();
            let ended = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break Some(status);
                }
                // The first kill of a run may come before there is anything; later ones let it get on.
                if hit(aim, &out, started, wait) && (last.is_empty() || checkpoints(&out) != last) {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break None;
                }
                std::thread::sleep(Duration::from_micros(200));
            };
            if let Some(status) = ended {
                assert!(status.success(), "{}", said(&child.wait_with_output().unwrap()));
                break;
            }
            killed += 1;
            inside[aim as usize] += 1;
        }
        let model = support::model::weights(&out, "model");
        assert!(outcome(&out) == reference && model == best, "run {runs} came out otherwise after {killed} kills");
        fs::remove_dir_all(&out).unwrap();
    }
    let [time, checkpoint, end] = inside;
    eprintln!(
        "{workers}: {killed} kills ({time} anywhere, {checkpoint} in a checkpoint, {end} at an epoch's end) over {runs} runs, 0 \
         differences"
    );
}

#[test]
fn killed_at_random_moments_a_run_comes_to_the_same_bytes() {
    let kills: usize = std::env::var("PIPELINE_SOAK_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let mut rng = StdRng::seed_from_u64(2026);
    soak(&drawn(), "dataset.drawn.num_workers", kills, &mut rng);
    // Once more over all other networks.
    for model in NETWORKS {
        eprintln!("{model}");
        soak(&drawn_with(model), "dataset.drawn.num_workers", kills.div_ceil(NETWORKS.len()), &mut rng);
    }
    if let Some(photographs) = photographs() {
        soak(&photographs, "dataset.CHASE_DB1.num_workers", kills, &mut rng);
    }
}
