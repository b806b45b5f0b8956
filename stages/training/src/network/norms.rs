//! How large the activations of each block are, on a training's forward pass made once more: for a look at what went wrong.
//! It holds less than training does, and no training waits for it.

use std::sync::Arc;

use super::block::Sources;
use super::{Blocks, Checkpointing};
use crate::compute::{Arithmetic, Executor, Feature, Input, Map, Pass};
use crate::memory::Tried;

/// The activations of one block: what its layers give, before the norms.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BlockNorm {
    /// The block's name; `images` and `head` stand before and behind the blocks.
    pub name: Arc<str>,
    /// The sum of squares.
    pub squares: f64,
    /// Of how many values.
    pub count: u64,
}

impl BlockNorm {
    /// The root of the mean square.
    pub fn rms(&self) -> f64 {
        (self.squares / self.count.max(1) as f64).sqrt()
    }
}

impl Blocks {
    /// The norms of the images, of each block and of the logits, in the order of the forward pass.
    pub(crate) fn norms<A: Arithmetic>(&self, e: &mut Executor<A>, images: Map<A::Data>) -> Tried<Vec<BlockNorm>> {
        let mut norms = Vec::new();
        let mut note = |e: &mut Executor<A>, name: Arc<str>, made: Vec<Input<'_, A>>| -> Tried<()> {
            let mut norm = BlockNorm { name, squares: 0.0, count: 0 };
            for input in made {
                let (squares, count) = e.squares(input)?;
                norm.squares += squares;
                norm.count += count;
            }
            norms.push(norm);
            Ok(())
        };
        note(e, "images".into(), vec![Input { map: &images, norm: None }])?;
        let mut features: Vec<Option<Feature<A>>> = Vec::new();
        for (index, block) in self.blocks.iter().enumerate() {
            let sources = Sources { images: &images, features: &features };
            let (output, kept) = block.forward(e, &sources, Pass::Train, Checkpointing::None)?;
            note(e, block.name.clone(), block.made(&output, &kept))?;
            features.push(Some(output));
            for done in (0..index).filter(|&done| !self.is_read_after(done, index)) {
                features[done] = None;
            }
        }
        let logits = e.head(&self.head, self.last(&features)?)?;
        note(e, "head".into(), vec![Input { map: &logits, norm: None }])?;
        Ok(norms)
    }
}
