//! A network: its structure, and which image sizes fit it. It holds no tensors.

use std::sync::Arc;

use pipeline_contract::{Result, StageError};
use pipeline_kernels::Area;

use super::liveness::Liveness;
use super::node::{Block, Node, NodeId, Supervised};
use crate::layer::{Norm, NormKind};
use crate::parameters::Layout;
use crate::pass::Shape;

/// A network: all that the rest of the program knows about it.
#[derive(Debug, Clone)]
pub struct Network {
    /// A description: `U-Net of base 32, depth 5, group norm`.
    pub about: String,
    /// What a weights file says about the network: keys and values.
    pub metadata: Vec<(String, String)>,
    /// Its tensors.
    pub layout: Layout,
    /// Its nodes, in the order of the forward pass.
    pub nodes: Vec<Node>,
    /// Its blocks; together they hold all nodes except the images.
    pub blocks: Vec<Block>,
    /// The node whose logits are the prediction.
    pub logits: NodeId,
    /// The heads that the loss is computed on.
    pub supervised: Vec<Supervised>,
    /// Classes: 1 for a sigmoid, more for a softmax.
    pub classes: usize,
    /// Image height and width must be multiples of this.
    pub stride: usize,
    pub(super) liveness: Arc<Liveness>,
}

impl Network {
    /// The norms, in order.
    pub fn norms(&self) -> impl Iterator<Item = &Norm> {
        self.nodes.iter().filter_map(|node| if let Node::Norm { norm, .. } = node { Some(norm) } else { None })
    }

    /// True if a sample's gradient depends on the other samples of its micro-batch: training on parts of a batch then differs
    /// from training on the whole batch.
    pub fn depends_on_batch(&self) -> bool {
        self.norms().any(|norm| norm.kind == NormKind::Batch)
    }

    /// The shape of every node's map for images of this area; a norm's shape is that of its inputs together.
    pub(crate) fn shapes(&self, area: Area) -> Vec<Shape> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let inputs: Vec<Shape> = node.inputs().iter().map(|&input| shapes[input]).collect();
            shapes.push(match node {
                Node::Images => Shape { channels: 3, area },
                Node::Layer { layer, .. } => layer.rules().output(&inputs),
                Node::Norm { norm, .. } => Shape { channels: norm.channels, area: inputs[0].area },
            });
        }
        shapes
    }

    /// Checks that images of this size fit: height and width are multiples of the stride, and every norm sees more than one
    /// value.
    ///
    /// # Errors
    /// What doesn't fit, and the nearest sizes that would.
    pub fn accepts(&self, batch: usize, height: usize, width: usize) -> Result<()> {
        let stride = self.stride;
        for (name, size) in [("height", height), ("width", width)] {
            if size == 0 || !size.is_multiple_of(stride) {
                let message = format!("image {name} {size} is not divisible by {stride}, the network's stride");
                let (below, above) = (size / stride * stride, size.div_ceil(stride).max(1).saturating_mul(stride));
                let nearest = if below == 0 { format!("{above}") } else { format!("{below} or {above}") };
                return Err(StageError::new(message).help(format!("resize to {nearest}")));
            }
        }
        // Sizes from a file may be arbitrarily large. Above this limit norms see more than one value anyway.
        let side = |size: usize| size.min(4 * stride);
        let shapes = self.shapes(Area { batch: batch.clamp(1, 2), height: side(height), width: side(width) });
        let lonely = self.nodes.iter().zip(&shapes).find_map(|(node, shape)| match node {
            Node::Norm { norm, .. } if norm.sharers(shape.area.batch, shape.area.pixels()) == 1 => Some(norm.kind.name()),
            _ => None,
        });
        match lonely {
            Some(norm) => Err(StageError::new(format!(
                "{norm} norm sees a single value: images of {height} x {width} are 1 x 1 at the deepest level"
            ))
            .help("take larger images or a smaller depth")),
            None => Ok(()),
        }
    }

    /// True for a node that the prediction depends on: not for one that only another head of the loss needs.
    pub(crate) fn is_predicting(&self, node: NodeId) -> bool {
        self.liveness.is_predicting[node]
    }

    /// The block that a node belongs to; `None` for the images.
    pub(super) fn block_of(&self, node: NodeId) -> Option<usize> {
        self.blocks.iter().position(|block| block.nodes.contains(&node))
    }
}
