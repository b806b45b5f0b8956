//! A network's graph as an ONNX graph, node by node. A norm becomes operators of its own here, and the inputs of a layer are
//! concatenated, where this program's kernels do both while they read. What each layer becomes is in `layers` and `norms`.

use std::collections::HashMap;

use pipeline_contract::{Result, StageError};
use pipeline_kernels::{Activation, Area};

use super::graph::Graph;
use super::proto::Attribute;
use crate::network::{Network, Node, NodeId};
use crate::parameters::{Role, TensorSpec, Values};
use crate::pass::Shape;

/// A translation under way.
pub(super) struct Translation<'a> {
    pub network: &'a Network,
    pub graph: Graph,
    values: &'a Values,
    /// The tensors in the order of their slots.
    trained: Vec<&'a TensorSpec>,
    statistics: Vec<&'a TensorSpec>,
    /// The shapes of all nodes, of which only the channels matter here.
    pub shapes: Vec<Shape>,
    /// The ONNX value of each node that has been translated.
    made: Vec<Option<String>>,
    /// Concatenations, by what they concatenate.
    joined: HashMap<Vec<NodeId>, String>,
}

impl<'a> Translation<'a> {
    /// Begins with a graph in which the names of the network's tensors are reserved, and its value of the normalised images.
    pub fn new(network: &'a Network, values: &'a Values, graph: Graph, images: String) -> Self {
        let side = network.stride;
        let mut made = vec![None; network.nodes.len()];
        made[0] = Some(images);
        Self {
            network,
            graph,
            values,
            trained: network.layout.of(Role::Trained).collect(),
            statistics: network.layout.of(Role::Statistic).collect(),
            shapes: network.shapes(Area { batch: 1, height: side, width: side }),
            made,
            joined: HashMap::new(),
        }
    }

    /// Translates all nodes that the prediction depends on. Returns the value of the logits.
    ///
    /// # Errors
    /// When the network's graph can't be said in ONNX.
    pub fn run(&mut self) -> Result<String> {
        let network = self.network;
        for block in &network.blocks {
            for node in block.nodes.clone().filter(|&node| network.is_predicting(node)) {
                let made = match &network.nodes[node] {
                    Node::Images => continue,
                    Node::Layer { layer, inputs } => self.layer(&block.name, layer, inputs),
                    Node::Norm { norm, inputs } => self.norm(&block.name, norm, inputs),
                };
                let context = |error: StageError| error.context(format!("{} can't be written as ONNX", block.name));
                self.made[node] = Some(made.map_err(context)?);
            }
        }
        self.made(network.logits)
    }

    fn made(&self, node: NodeId) -> Result<String> {
        self.made[node].clone().ok_or_else(|| StageError::new(format!("node {node} is read before it is made")))
    }

    /// Adds a trained tensor; returns its name.
    pub fn trained(&mut self, slot: usize) -> String {
        let spec = self.trained[slot];
        self.graph.tensor(&spec.name, &spec.shape, &self.values.trained[slot]);
        spec.name.clone()
    }

    /// The values of a trained tensor.
    pub fn values(&self, slot: usize) -> &'a [f32] {
        &self.values.trained[slot]
    }

    /// Adds a running statistic; returns its name.
    pub fn statistic(&mut self, slot: usize) -> String {
        let spec = self.statistics[slot];
        self.graph.tensor(&spec.name, &spec.shape, &self.values.statistics[slot]);
        spec.name.clone()
    }

    /// The name of a layer, which is what the name of its weight begins with.
    pub fn name_of(&self, weight: usize) -> String {
        let name = &self.trained[weight].name;
        name.strip_suffix(".weight").unwrap_or(name).to_owned()
    }

    /// The values of the nodes, concatenated along channels.
    pub fn joined(&mut self, block: &str, inputs: &[NodeId]) -> Result<String> {
        if let [one] = inputs {
            return self.made(*one);
        }
        if let Some(name) = self.joined.get(inputs) {
            return Ok(name.clone());
        }
        let values = inputs.iter().map(|&input| self.made(input)).collect::<Result<Vec<_>>>()?;
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let name = self.graph.operator(&format!("{block}.concat"), "Concat", &values, vec![Attribute::int("axis", 1)]);
        self.joined.insert(inputs.to_vec(), name.clone());
        Ok(name)
    }

    /// The values of nodes that are each one map: a layer that doesn't concatenate can't read a norm over several.
    pub fn maps(&self, inputs: &[NodeId]) -> Result<Vec<String>> {
        let several = |node: &&NodeId| matches!(&self.network.nodes[**node], Node::Norm { inputs, .. } if inputs.len() != 1);
        match inputs.iter().find(several) {
            Some(node) => {
                Err(StageError::new(format!("a layer reads maps one by one through node {node}, a norm over several"))
                    .help("give each map its own norm"))
            }
            None => inputs.iter().map(|&input| self.made(input)).collect(),
        }
    }

    /// The value of the only map that a layer reads.
    pub fn map(&self, inputs: &[NodeId]) -> Result<String> {
        match self.maps(inputs)?.as_slice() {
            [one] => Ok(one.clone()),
            all => Err(StageError::new(format!("a layer of one input has {}", all.len()))),
        }
    }

    /// Applies an activation to a value.
    pub fn activated(&mut self, activation: Activation, value: String) -> String {
        match activation {
            Activation::Identity => value,
            Activation::Relu => self.graph.operator(&format!("{value}.relu"), "Relu", &[&value], Vec::new()),
            Activation::LeakyRelu(slope) => {
                let alpha = vec![Attribute::float("alpha", slope)];
                self.graph.operator(&format!("{value}.relu"), "LeakyRelu", &[&value], alpha)
            }
        }
    }
}
