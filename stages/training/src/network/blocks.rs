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

    fn is_read_after(&self, block: usize, index: usize) -> bool {
        self.blocks[index + 1..].iter().any(|later| later.inputs.contains(&Source::Block(block)))
    }

    fn last<'a, A: Arithmetic>(&self, features: &'a [Option<Feature<A>>]) -> Tried<Input<'a, A>> {
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
