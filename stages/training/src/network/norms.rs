//! How large the activations of each block are, measured in an extra forward pass: a report of where values became non-finite. It
//! needs less memory than training, and training never waits for it.

use std::sync::Arc;

use super::graph::Network;
use super::node::Node;
use super::tape::Tape;
use crate::layer::LayerBackend;
use crate::memory::Tried;
use crate::pass::{Executor, Map, Pass};

/// The activations of one block: the outputs of its layers, before the norms.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BlockNorm {
    /// The block's name; the entry `images` comes before all blocks.
    pub name: Arc<str>,
    /// The sum of squares.
    pub squares: f64,
    /// Number of values.
    pub count: u64,
}

impl BlockNorm {
    /// The root of the mean square.
    pub fn rms(&self) -> f64 {
        (self.squares / self.count.max(1) as f64).sqrt()
    }
}

impl Network {
    /// The norms of the images and of each block, in the order of the forward pass.
    pub(crate) fn block_norms<B: LayerBackend>(&self, e: &mut Executor<B>, images: Map<B::Data>) -> Tried<Vec<BlockNorm>> {
        let (squares, count) = e.squares(&images)?;
        let mut norms = vec![BlockNorm { name: "images".into(), squares, count }];
        let mut tape = Tape::new(self, images);
        for block in &self.blocks {
            e.enter(&block.name, "forward");
            let mut norm = BlockNorm { name: block.name.clone(), squares: 0.0, count: 0 };
            for node in block.nodes.clone().filter(|&node| self.liveness.is_run[node]) {
                tape.run(self, e, node, Pass::Train, &[])?;
                match &self.nodes[node] {
                    // Counts only whether it is finite: readers of the norm would see a non-finite value that the map doesn't
                    // show.
                    Node::Norm { .. } => norm.squares += e.backend.norm_squares(tape.statistics(node)?)? * 0.0,
                    _ => {
                        let (squares, count) = e.squares(tape.map(node)?)?;
                        norm.squares += squares;
                        norm.count += count;
                    }
                }
                self.liveness.free_forward[node].iter().for_each(|&map| tape.maps[map] = None);
            }
            norms.push(norm);
        }
        Ok(norms)
    }
}
