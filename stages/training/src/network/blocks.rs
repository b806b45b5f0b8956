//! A network as a list of blocks and a head: the passes over them under a checkpointing mode. It knows no layer's arithmetic
//! and no particular network.

use super::block::{Block, Deltas, Kept, Source, Sources};
use super::{Head, Layout};
use crate::compute::{Arithmetic, Executor, Feature, Input, Map, Pass};
use crate::loss::Loss;
use crate::memory::{Fault, Tried};

/// What the backward pass makes again instead of keeping it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Checkpointing {
    /// Nothing: the output of every convolution, pooling and transposed convolution is kept. (Norms and ReLUs are applied
    /// where their result is read; it is never kept.)
    None,
    /// The inside of each block: only what blocks hand to each other is kept.
    Blocks,
    /// As `Blocks`, and inside a block being made again nothing is held longer than one use; what pooling and transposed
    /// convolution give is made twice.
    Full,
}

impl Checkpointing {
    /// Their names in files, in the order of the variants.
    pub const NAMES: &'static [&'static str] = &["none", "blocks", "full"];

    /// All of them, the one that holds most first.
    pub const ALL: [Self; 3] = [Self::None, Self::Blocks, Self::Full];

    /// The mode of a name in a file.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Its name in files.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// A network: blocks in the order of the forward pass, each reading earlier ones, and a head on the last. It holds no tensors.
#[derive(Debug, Clone)]
pub struct Blocks {
    /// The network's tensors.
    pub layout: Layout,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// From the last block's output to logits.
    pub head: Head,
}

/// What a forward pass leaves for the backward pass.
pub(crate) struct Tape<A: Arithmetic> {
    images: Map<A::Data>,
    features: Vec<Option<Feature<A>>>,
    kept: Vec<Kept<A>>,
}

fn broken() -> Fault {
    Fault::Failed(pipeline_contract::StageError::new("the tape does not fit the network"))
}

impl Blocks {
    /// Logits `[batch, 1, height, width]` of images, and what the backward pass needs. In evaluation nothing is kept, and
    /// every output goes when its last reader is done.
    pub(crate) fn forward<A: Arithmetic>(
        &self,
        e: &mut Executor<A>,
        images: Map<A::Data>,
        pass: Pass,
        mode: Checkpointing,
    ) -> Result<(Map<A::Data>, Tape<A>), Fault> {
        let mut tape = Tape { images, features: Vec::new(), kept: Vec::new() };
        for (index, block) in self.blocks.iter().enumerate() {
            let sources = Sources { images: &tape.images, features: &tape.features };
            let (mut output, kept) = block.forward(e, &sources, pass, mode)?;
            if pass == Pass::Train {
                output.map.save(&block.name);
                tape.kept.push(kept);
            }
            tape.features.push(Some(output));
            if pass == Pass::Evaluate {
                for done in (0..index).filter(|&done| !self.is_read_after(done, index)) {
                    tape.features[done] = None;
                }
            }
        }
        e.enter("head", "forward");
        let logits = e.head(&self.head, self.last(&tape.features)?)?;
        Ok((logits, tape))
    }

    pub(super) fn is_read_after(&self, block: usize, index: usize) -> bool {
        self.blocks[index + 1..].iter().any(|later| later.inputs.contains(&Source::Block(block)))
    }

    pub(super) fn last<'a, A: Arithmetic>(&self, features: &'a [Option<Feature<A>>]) -> Tried<Input<'a, A>> {
        features.last().and_then(Option::as_ref).map(Feature::input).ok_or_else(broken)
    }

    /// Adds the gradients of all trained tensors to the window's sums, given the gradient of the logits. Maps go as soon as
    /// nobody needs them.
    pub(crate) fn backward<A: Arithmetic>(
        &self,
        e: &mut Executor<A>,
        tape: Tape<A>,
        upstream: Map<A::Data>,
        mode: Checkpointing,
    ) -> Tried<()> {
        let Tape { images, mut features, mut kept } = tape;
        e.enter("head", "backward");
        e.head_weight(&self.head, self.last(&features)?, &upstream)?;
        let mut deltas: Deltas<A> = self.blocks.iter().map(|_| None).collect();
        deltas[self.blocks.len() - 1] = Some(e.head_input(&self.head, &upstream)?);
        drop(upstream);
        for (index, block) in self.blocks.iter().enumerate().rev() {
            let (Some(output), Some(kept)) = (features[index].take(), kept.pop()) else { return Err(broken()) };
            // A block that nobody reads has no gradient, and gives none.
            let Some(upstream) = deltas[index].take() else { continue };
            let sources = Sources { images: &images, features: &features };
            block.backward(e, &sources, (output, upstream), kept, &mut deltas, mode)?;
        }
        Ok(())
    }

    /// One micro-batch of training: the losses go to the arithmetic's list, the gradients of `scale` times their sum to the
    /// window's sums.
    pub(crate) fn train<A: Arithmetic>(
        &self,
        e: &mut Executor<A>,
        images: Map<A::Data>,
        masks: &[u8],
        (loss, scale): (Loss, f32),
        mode: Checkpointing,
    ) -> Tried<()> {
        let (logits, tape) = self.forward(e, images, Pass::Train, mode)?;
        let upstream = e.loss(loss, logits, masks, scale)?;
        self.backward(e, tape, upstream, mode)
    }
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "tests may panic")]
mod tests {
    use pipeline_contract::stage_rng;
    use pipeline_kernels::Area;

    use super::super::block::Prelude;
    use super::super::{Convolution, Norm, NormKind, State, zeros};
    use super::*;
    use crate::compute::{Engine, Images, Kernels, Precision, read};
    use crate::memory::Ledger;

    /// A network that is no U-Net: a block of one layer, one of three behind a pooling, and one that joins a block to itself.
    fn network() -> Blocks {
        let mut layout = Layout::default();
        let mut layer = |name: &str, inputs: usize, outputs: usize| {
            let convolution = Convolution::new(&mut layout, &format!("{name}.conv"), inputs, outputs);
            (convolution, Norm::new(&mut layout, &format!("{name}.norm"), outputs, NormKind::Batch))
        };
        let block = |name: &str, inputs: Vec<Source>, prelude, layers| Block { name: name.into(), inputs, prelude, layers };
        let blocks = vec![
            block("stem", vec![Source::Images], Prelude::Plain, vec![layer("stem.0", 3, 5)]),
            block(
                "body",
                vec![Source::Block(0)],
                Prelude::Pool,
                vec![layer("body.0", 5, 7), layer("body.1", 7, 6), layer("body.2", 6, 8)],
            ),
            block("mix", vec![Source::Block(1), Source::Block(1)], Prelude::Plain, vec![layer("mix.0", 16, 4)]),
        ];
        let head = Head::new(&mut layout, "head", 4, 1);
        Blocks { layout, blocks, head }
    }

    /// Gradients, running means and the most that was saved, of a pass under a mode.
    fn pass(mode: Checkpointing) -> (Vec<Vec<f32>>, Vec<u64>, u64) {
        let (network, device) = (network(), burn::tensor::Device::flex());
        let mut state = State::fresh(&network.layout, &device, |name| stage_rng(3, 0, name, "test")).expect("small sizes");
        let mut gradients = zeros(&state.trained, &device);
        let area = Area { batch: 2, height: 12, width: 20 };
        let values: Vec<f32> = (0..area.values(3)).map(|at| (at * 37 % 101) as f32 / 101.0).collect();
        // Logits are of the pooled size.
        let masks: Vec<u8> = (0..area.values(1) / 4).map(|at| u8::from(at % 3 == 0)).collect();
        let ledger = Ledger::default();
        let precision = Precision::Float32;
        let arithmetic = Kernels { state: &mut state, gradients: gradients.as_mut_slice(), losses: Vec::new(), precision };
        let mut e = Executor::new(arithmetic, Engine::Kernels, precision, ledger.clone());
        let trained = e
            .images(Images::Planes(&values), area)
            .and_then(|images| network.train(&mut e, images, &masks, (Loss::BceDice, 1.0), mode));
        assert!(trained.is_ok(), "{trained:?}");
        assert_eq!(ledger.now().total, 0, "every map is gone");
        let values = gradients.iter().map(|gradient| read(gradient, <[f32]>::to_vec).expect("on the CPU")).collect();
        (values, state.counters.clone(), ledger.peak().total)
    }

    #[test]
    fn a_network_of_other_blocks_has_every_mode() {
        let (expected, counters, most) = pass(Checkpointing::None);
        assert!(expected.iter().all(|gradient| gradient.iter().any(|value| *value != 0.0)), "every tensor has a gradient");
        assert_eq!(counters, [1; 5]);
        for mode in [Checkpointing::Blocks, Checkpointing::Full] {
            let (actual, counters, held) = pass(mode);
            assert_eq!(counters, [1; 5], "norm statistics move once");
            assert!(held < most, "{mode:?} holds {held}, none {most}");
            let pairs = expected.iter().flatten().zip(actual.iter().flatten());
            assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-6), "{mode:?}");
        }
    }
}
