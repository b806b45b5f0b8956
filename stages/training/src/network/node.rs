//! What a network is made of: nodes in the order of the forward pass, the blocks that they form, and heads.

use std::ops::Range;
use std::sync::Arc;

use crate::layer::{Layer, Norm};

/// A node of a network. Nodes are numbered in the order of the forward pass.
pub type NodeId = usize;

/// What a node is.
#[derive(Debug, Clone)]
pub enum Node {
    /// The images; always the first node, and no other.
    Images,
    /// A map that a layer makes of its inputs.
    Layer {
        /// The layer.
        layer: Layer,
        /// What it reads, in the order of channels.
        inputs: Vec<NodeId>,
    },
    /// A norm over its inputs (concatenated along channels), which readers apply on the way: it makes no map of its own.
    Norm {
        /// The norm.
        norm: Norm,
        /// The maps that it is over; no norms.
        inputs: Vec<NodeId>,
    },
}

impl Node {
    /// What it reads.
    pub fn inputs(&self) -> &[NodeId] {
        match self {
            Self::Images => &[],
            Self::Layer { inputs, .. } | Self::Norm { inputs, .. } => inputs,
        }
    }
}

/// Consecutive nodes that checkpointing keeps or computes again as one, and that figures are reported for.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its name, the beginning of the names of its tensors: `down.0`, `decode.2`, `head`.
    pub name: Arc<str>,
    /// Its nodes.
    pub nodes: Range<NodeId>,
}

/// A head that the loss is taken of.
#[derive(Debug, Clone, PartialEq)]
pub struct Supervised {
    /// The node that makes its logits.
    pub node: NodeId,
    /// The weight of its loss.
    pub weight: f32,
}
