//! How a network is built: blocks are opened one after the other, and layers and norms are added to the open block.

use std::sync::Arc;

use super::graph::Network;
use super::liveness::Liveness;
use super::node::{Block, Node, NodeId, Supervised};
use pipeline_kernels::Activation;

use crate::layer::{Convolution, Layer, Norm, NormOptions};
use crate::parameters::Layout;

/// A network under construction.
///
/// Tensors are declared in the order in which layers are created (PyTorch's `state_dict()` order), nodes in the order in which
/// they are added (the order of the forward pass).
#[derive(Debug)]
pub struct Builder {
    /// The tensors declared so far.
    pub layout: Layout,
    nodes: Vec<Node>,
    blocks: Vec<Block>,
}

impl Default for Builder {
    fn default() -> Self {
        Self { layout: Layout::default(), nodes: vec![Node::Images], blocks: Vec::new() }
    }
}

impl Builder {
    /// The images, `[batch, 3, height, width]`.
    pub const IMAGES: NodeId = 0;

    /// Opens a named block, to which the following nodes belong.
    pub fn block(&mut self, name: &str) {
        let start = self.nodes.len();
        self.blocks.push(Block { name: name.into(), nodes: start..start });
    }

    /// Adds a layer that reads the given nodes.
    pub fn layer(&mut self, layer: impl Into<Layer>, inputs: &[NodeId]) -> NodeId {
        self.push(Node::Layer { layer: layer.into(), inputs: inputs.to_vec() })
    }

    /// Adds a norm over the given maps.
    pub fn norm(&mut self, norm: Norm, inputs: &[NodeId]) -> NodeId {
        self.push(Node::Norm { norm, inputs: inputs.to_vec() })
    }

    /// Adds a 3x3 convolution, a norm and a ReLU; their tensors are declared as `NAME.convINDEX` and `NAME.normINDEX`.
    pub fn conv_norm(
        &mut self,
        name: &str,
        index: usize,
        inputs: &[NodeId],
        channels: [usize; 2],
        norm: NormOptions,
    ) -> NodeId {
        let [from, to] = channels;
        let convolution = Convolution::new(&mut self.layout, &format!("{name}.conv{index}"), from, to);
        let norm = Norm::new(&mut self.layout, &format!("{name}.norm{index}"), to, norm, Activation::Relu);
        let map = self.layer(convolution, inputs);
        self.norm(norm, &[map])
    }

    fn push(&mut self, node: Node) -> NodeId {
        if self.blocks.is_empty() {
            self.block("network");
        }
        self.nodes.push(node);
        if let Some(block) = self.blocks.last_mut() {
            block.nodes.end = self.nodes.len();
        }
        self.nodes.len() - 1
    }

    /// Finishes the network. `logits` is the node of the prediction; images fit if `stride` divides their height and width.
    pub fn finish(self, about: String, metadata: Vec<(String, String)>, heads: Heads, stride: usize) -> Network {
        let Self { layout, nodes, blocks } = self;
        let Heads { logits, supervised, classes } = heads;
        let liveness = Arc::new(Liveness::of(&nodes, &blocks, logits, &supervised));
        Network { about, metadata, layout, nodes, blocks, logits, supervised, classes, stride, liveness }
    }
}

/// The heads of a network.
#[derive(Debug, Clone)]
pub struct Heads {
    /// The node of the prediction.
    pub logits: NodeId,
    /// The heads that the loss is computed on.
    pub supervised: Vec<Supervised>,
    /// Classes: 1 for a sigmoid, more for a softmax.
    pub classes: usize,
}

impl Heads {
    /// A single head for both prediction and loss.
    pub fn single(logits: NodeId, classes: usize) -> Self {
        Self { logits, supervised: vec![Supervised { node: logits, weight: 1.0 }], classes }
    }
}
