//! The parts of a network: nodes in the order of the forward pass, the blocks they form, and heads.

use std::ops::Range;
use std::sync::Arc;

use crate::layer::{Layer, Norm};

/// A node of a network. Nodes are numbered in the order of the forward pass.
pub type NodeId = usize;

/// The kind of a node.
#[derive(Debug, Clone)]
pub enum Node {
    /// The images: always the first node, and only that one.
    Images,
    /// A map that a layer computes from its inputs.
    Layer {
        /// The layer.
        layer: Layer,
        /// The nodes it reads, in channel order.
        inputs: Vec<NodeId>,
    },
    /// A norm over its inputs (concatenated along channels), which readers apply while reading: it makes no map of its own.
    Norm {
        /// The norm.
        norm: Norm,
        /// The maps that it covers; never norms.
        inputs: Vec<NodeId>,
    },
}

impl Node {
    /// The nodes it reads.
    pub fn inputs(&self) -> &[NodeId] {
        match self {
            Self::Images => &[],
            Self::Layer { inputs, .. } | Self::Norm { inputs, .. } => inputs,
        }
    }
}

/// Consecutive nodes that checkpointing keeps or recomputes together, and that are reported on together.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its name, which prefixes the names of its tensors: `down.0`, `decode.2`, `head`.
    pub name: Arc<str>,
    /// Its nodes.
    pub nodes: Range<NodeId>,
}

/// A head that the loss is computed on.
#[derive(Debug, Clone, PartialEq)]
pub struct Supervised {
    /// The node that computes its logits.
    pub node: NodeId,
    /// The weight of its loss.
    pub weight: f32,
}
