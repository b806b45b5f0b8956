//! The passes over a network that isn't a U-Net: every checkpointing mode gives the same gradients and holds less memory.
#![expect(clippy::expect_used, reason = "tests may panic")]

use burn::tensor::Tensor;
use pipeline_contract::stage_rng;
use pipeline_kernels::{Activation, Area};

use super::{Builder, Checkpointing, Heads, Network};
use crate::backend::{self, Site, Work};
use crate::layer::{Convolution, Head, LayerBackend, MaxPool, Norm, NormKind, NormOptions};
use crate::loss::{Loss, LossBackend, Target};
use crate::memory::{Ledger, Tried};
use crate::parameters::{State, zeros};
use crate::pass::{Executor, Images};
use crate::precision::Precision;

/// A block with one layer, a block with three layers after a pooling, and a block that joins a block to itself.
fn network() -> Network {
    let mut b = Builder::default();
    let batch = NormOptions::new(NormKind::Batch);
    b.block("stem");
    let stem = b.conv_norm("stem", 0, &[Builder::IMAGES], [3, 5], batch);
    b.block("body");
    let pooled = b.layer(MaxPool, &[stem]);
    let body = b.conv_norm("body", 0, &[pooled], [5, 7], batch);
    let body = b.conv_norm("body", 1, &[body], [7, 6], batch);
    let body = b.conv_norm("body", 2, &[body], [6, 8], batch);
    b.block("mix");
    let mix = b.conv_norm("mix", 0, &[body, body], [16, 4], batch);
    b.block("head");
    let head = Head::new(&mut b.layout, "head", 4, 1);
    let logits = b.layer(head, &[mix]);
    b.finish("a test network".into(), Vec::new(), Heads::single(logits, 1), 2)
}

/// A norm over two maps of the same images; its third group of three channels spans both maps.
fn side_by_side() -> Network {
    let mut b = Builder::default();
    let group = NormOptions::new(NormKind::Group);
    b.block("pair");
    let pooled = b.layer(MaxPool, &[Builder::IMAGES]);
    let convolutions = [("left", 8), ("right", 16)].map(|(name, to)| Convolution::new(&mut b.layout, name, 3, to));
    let maps = convolutions.map(|convolution| b.layer(convolution, &[pooled]));
    let norm = Norm::new(&mut b.layout, "norm", 24, group, Activation::Relu);
    let both = b.norm(norm, &maps);
    let pair = b.conv_norm("pair", 0, &[both], [24, 8], group);
    b.block("body");
    let body = b.conv_norm("body", 0, &[pair], [8, 16], group);
    let body = b.conv_norm("body", 1, &[body], [16, 16], group);
    let body = b.conv_norm("body", 2, &[body], [16, 8], group);
    b.block("head");
    let head = Head::new(&mut b.layout, "head", 8, 1);
    let logits = b.layer(head, &[body]);
    b.finish("maps side by side".into(), Vec::new(), Heads::single(logits, 1), 2)
}

struct Train<'a> {
    network: &'a Network,
    values: &'a [f32],
    labels: &'a [u8],
    area: Area,
    mode: Checkpointing,
}

impl Work for Train<'_> {
    type Output = ();

    fn run<B: LayerBackend + LossBackend>(self, e: &mut Executor<B>) -> Tried<()> {
        let images = e.images(Images::Planes(self.values), self.area)?;
        let area = Area { height: self.area.height / 2, width: self.area.width / 2, ..self.area };
        let target = Target { labels: self.labels, area };
        self.network.train(e, images, target, (&Loss::default(), 1.0), self.mode)
    }
}

/// Gradients, batch norm counters and peak memory of a pass under a checkpointing mode.
fn pass(network: &Network, mode: Checkpointing) -> (Vec<Vec<f32>>, Vec<u64>, u64) {
    let device = crate::device::open("cpu").expect("the CPU").device;
    let mut state = State::fresh(&network.layout, &device, |name| stage_rng(3, 0, name, "test")).expect("small sizes");
    let mut gradients = zeros(&state.trained, &device);
    let area = Area { batch: 2, height: 12, width: 20 };
    let values: Vec<f32> = (0..area.values(3)).map(|at| (at * 37 % 101) as f32 / 101.0).collect();
    // The logits have the pooled size.
    let masks: Vec<u8> = (0..area.values(1) / 4).map(|at| if at % 3 == 0 { 255 } else { 0 }).collect();
    let ledger = Ledger::default();
    let precision = Precision::Float32;
    let site = Site { state: &mut state, gradients: &mut gradients, precision, ledger: ledger.clone() };
    let work = Train { network, values: &values, labels: &masks, area, mode };
    assert!(backend::run(site, work).is_ok());
    assert_eq!(ledger.now().total, 0, "every map is gone");
    let values = |tensor: &Tensor<1>| tensor.try_to_vec_as::<f32>().expect("float32");
    (gradients.iter().map(values).collect(), state.counters.clone(), ledger.peak().total)
}

#[test]
fn a_network_of_other_blocks_has_every_mode() {
    for (network, once) in [(network(), vec![1; 5]), (side_by_side(), Vec::new())] {
        let (expected, counters, most) = pass(&network, Checkpointing::None);
        assert!(expected.iter().all(|gradient| gradient.iter().any(|value| *value != 0.0)), "every tensor has a gradient");
        assert_eq!(counters, once);
        for mode in [Checkpointing::Blocks, Checkpointing::Full] {
            let (actual, counters, held) = pass(&network, mode);
            assert_eq!(counters, once, "norm statistics move once");
            assert!(held < most, "{mode:?} holds {held}, none {most}");
            let pairs = expected.iter().flatten().zip(actual.iter().flatten());
            assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-6), "{mode:?}");
        }
    }
}
