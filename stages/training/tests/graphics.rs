//! A graphics device against the CPU: losses, every gradient and the running statistics, on networks and images of sizes that don't divide
//! evenly. Only where this build and this machine have one (Vulkan in software does).
#![allow(clippy::expect_used, clippy::print_stderr, reason = "tests may panic and talk")]

mod common;

use burn::tensor::{Device, Tensor};
use common::names;
use pipeline_contract::stage_rng;
use pipeline_kernels::{Activation, Term, WeightedTerm};
use pipeline_training::Precision;
use pipeline_training::device;
use pipeline_training::layer::{Convolution, Head, Norm, NormKind, NormOptions};
use pipeline_training::loss::Loss;
use pipeline_training::memory::Ledger;
use pipeline_training::micro_batch::{MicroBatch, Pixels};
use pipeline_training::network::{Builder, Checkpointing, Heads, Network};
use pipeline_training::networks::UNetConfig;
use pipeline_training::parameters::State;
use pipeline_training::policy::Setting;
use pipeline_training::trainee::Trainee;
use rand::RngExt as _;

#[derive(Debug, Clone, Copy)]
enum Architecture {
    UNet {
        norm: &'static str,
        base: usize,
        depth: usize,
        classes: usize,
    },
    /// A norm over two maps of these channels.
    SideBySide {
        norm: NormKind,
        channels: [usize; 2],
    },
}

impl Architecture {
    fn network(self) -> Network {
        match self {
            Self::UNet { norm, base, depth, classes } => {
                let mut config = UNetConfig::new(base, depth, norm).expect("a valid size");
                config.size.classes = classes;
                config.network()
            }
            Self::SideBySide { norm, channels } => side_by_side(norm, channels),
        }
    }
}

/// Two convolutions of the images, a norm over both of their maps, and a block that reads them through it.
fn side_by_side(norm: NormKind, [left, right]: [usize; 2]) -> Network {
    let norm = NormOptions::new(norm);
    let mut b = Builder::default();
    let channels = left + right;
    b.block("pair");
    let convolutions = [("left", left), ("right", right)].map(|(name, to)| Convolution::new(&mut b.layout, name, 3, to));
    let maps = convolutions.map(|convolution| b.layer(convolution, &[Builder::IMAGES]));
    let shared = Norm::new(&mut b.layout, "norm", channels, norm, Activation::Relu);
    let both = b.norm(shared, &maps);
    b.block("mix");
    let mix = b.conv_norm("mix", 0, &[both], [channels, 4], norm);
    b.block("head");
    let head = Head::new(&mut b.layout, "head", 4, 1);
    let logits = b.layer(head, &[mix]);
    b.finish("maps side by side".into(), Vec::new(), Heads::single(logits, 1), 2)
}

#[derive(Debug, Clone, Copy)]
struct Case {
    architecture: Architecture,
    /// Samples, height and width.
    images: [usize; 3],
    setting: Setting,
}

/// Images and masks; of several classes a tenth of the labels doesn't count.
fn batch([count, height, width]: [usize; 3], classes: usize) -> MicroBatch {
    let mut rng = stage_rng(3, 0, "samples", "test");
    let pixels = (0..count * 3 * height * width).map(|_| rng.random()).collect();
    let mut label = || match classes {
        1 if rng.random::<f32>() < 0.1 => rng.random(),
        1 => 255 * u8::from(rng.random::<f32>() < 0.3),
        _ if rng.random::<f32>() < 0.1 => 255,
        _ => rng.random_range(0..classes) as u8,
    };
    let masks = (0..count * height * width).map(|_| label()).collect();
    MicroBatch { samples: names(0..count), height, width, pixels: Pixels::Floats(pixels), masks }
}

/// What a device makes of a case: losses, gradients, statistics, logits in evaluation.
fn made(device: &Device, case: Case, loss: &Loss) -> [Vec<f32>; 4] {
    let network = case.architecture.network();
    let batch = batch(case.images, network.classes);
    let mut state = State::fresh(&network.layout, device, |name| stage_rng(1, 0, name, "weights")).expect("small");
    // Scales and shifts that are not all the same, so that a norm's own channel is told from its neighbour's.
    for (slot, tensor) in state.trained.iter_mut().enumerate() {
        let [length] = tensor.dims();
        let bend: Vec<f32> = (0..length).map(|at| 0.05 * ((at * 7 + slot * 3) % 11) as f32 - 0.2).collect();
        tensor.inplace(|values| values + Tensor::from_floats(bend.as_slice(), device));
    }
    let mut trainee = Trainee::new(network, state, loss.clone(), case.setting, Ledger::default()).expect("no limit");
    let values = |tensors: &[Tensor<1>]| -> Vec<f32> {
        tensors.iter().flat_map(|tensor| tensor.try_to_vec_as::<f32>().expect("float32")).collect()
    };
    trainee.add_or_retry(batch.clone()).expect("images that fit");
    let (losses, gradients) = (values(trainee.losses()), values(trainee.gradients()));
    let statistics = values(&trainee.state.statistics);
    trainee.close().expect("a window of one batch");
    [losses, gradients, statistics, trainee.predict(&batch).expect("images that fit")]
}

fn far(actual: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let square = |value: f32| f64::from(value) * f64::from(value);
    let difference: f64 = actual.iter().zip(expected).map(|(a, e)| square(a - e)).sum();
    (difference / expected.iter().map(|&e| square(e)).sum::<f64>().max(1e-30)).sqrt()
}

#[test]
fn a_graphics_device_computes_what_the_cpu_does() {
    let Some(graphics) = device::open("wgpu").map_err(|error| eprintln!("skipped: {error}")).ok() else { return };
    let cpu = device::open("cpu").expect("the CPU").device;
    let setting = |precision, checkpointing| Setting { precision, checkpointing, samples: usize::MAX };
    let (wide, half) = (Precision::Float32, Precision::Float16);
    let unet = |norm, base, depth| Architecture::UNet { norm, base, depth, classes: 1 };
    let pair = |norm, left, right| Architecture::SideBySide { norm, channels: [left, right] };
    let cases = [
        // Groups of one channel; rows that begin nowhere in particular.
        Case { architecture: unet("group", 2, 2), images: [2, 10, 14], setting: setting(wide, Checkpointing::None) },
        // Groups of two and more channels; more pixels than one piece has, and than a loop of software Vulkan may have turns.
        Case { architecture: unet("group", 16, 3), images: [1, 192, 196], setting: setting(wide, Checkpointing::Blocks) },
        // A million pixels, the size that people train at.
        Case { architecture: unet("group", 2, 2), images: [1, 1024, 1024], setting: setting(wide, Checkpointing::Blocks) },
        Case { architecture: unet("batch", 4, 3), images: [3, 20, 12], setting: setting(wide, Checkpointing::Full) },
        // Channels that no vector divides.
        Case { architecture: unet("instance", 3, 2), images: [2, 6, 70], setting: setting(wide, Checkpointing::None) },
        Case { architecture: unet("group", 2, 2), images: [1, 512, 512], setting: setting(half, Checkpointing::None) },
        Case { architecture: unet("batch", 8, 2), images: [2, 24, 40], setting: setting(half, Checkpointing::None) },
        // Groups of three channels: the third group has one in the second map. The maps' pieces differ.
        Case { architecture: pair(NormKind::Group, 8, 16), images: [2, 96, 100], setting: setting(wide, Checkpointing::None) },
        // Channels that no vector divides.
        Case { architecture: pair(NormKind::Group, 7, 9), images: [2, 30, 22], setting: setting(wide, Checkpointing::Full) },
        Case { architecture: pair(NormKind::Batch, 4, 6), images: [3, 20, 12], setting: setting(wide, Checkpointing::Blocks) },
        Case { architecture: pair(NormKind::Group, 8, 16), images: [2, 48, 64], setting: setting(half, Checkpointing::None) },
    ];
    for case in cases {
        if device::supports(&graphics, case.setting.precision).is_err() {
            eprintln!("skipped: {} has no {}", graphics.description, case.setting.precision.name());
            continue;
        }
        let loss = Loss::default();
        let (there, here) = (made(&graphics.device, case, &loss), made(&cpu, case, &loss));
        let bounds = if case.setting.precision == wide { [1e-5, 1e-4, 1e-5, 1e-4] } else { [2e-3, 6e-2, 5e-3, 2e-2] };
        for ((what, bound), (there, here)) in
            ["losses", "gradients", "statistics", "logits"].iter().zip(bounds).zip(there.iter().zip(&here))
        {
            let far = far(there, here);
            assert!(far <= bound, "{case:?}: {what} are {far} off");
        }
    }
}

#[test]
fn a_graphics_device_computes_every_loss_as_the_cpu_does() {
    let Some(graphics) = device::open("wgpu").map_err(|error| eprintln!("skipped: {error}")).ok() else { return };
    let cpu = device::open("cpu").expect("the CPU").device;
    let (bce, classes) = (Term::Bce { pos_weight: 3.0 }, [Term::CrossEntropy, Term::ClassDice { background: true }]);
    let losses = [
        (1, vec![bce]),
        (1, vec![Term::Dice]),
        (1, vec![Term::Focal { gamma: 2.0, alpha: Some(0.25) }]),
        (1, vec![Term::Tversky { alpha: 0.3, beta: 0.7 }]),
        (1, vec![Term::FocalTversky { alpha: 0.3, beta: 0.7, gamma: 4.0 / 3.0 }]),
        (1, vec![Term::ClDice { iterations: 3 }, bce]),
        (3, vec![Term::CrossEntropy]),
        (3, classes.to_vec()),
        (4, vec![Term::ClassDice { background: false }]),
    ];
    let setting = Setting { precision: Precision::Float32, checkpointing: Checkpointing::None, samples: usize::MAX };
    for (classes, terms) in losses {
        let weighted = |(at, term): (usize, &Term)| WeightedTerm { term: *term, weight: 1.0 - 0.3 * at as f32 };
        let loss = Loss { terms: terms.iter().enumerate().map(weighted).collect() };
        let architecture = Architecture::UNet { norm: "group", base: 4, depth: 2, classes };
        let case = Case { architecture, images: [2, 30, 38], setting };
        let (there, here) = (made(&graphics.device, case, &loss), made(&cpu, case, &loss));
        for (what, at) in [("losses", 0), ("gradients", 1)] {
            let far = far(&there[at], &here[at]);
            assert!(far <= 1e-5, "{loss:?}: {what} are {far} off");
        }
    }
}
