//! What a forward pass leaves behind: maps and norm statistics by node.

use super::graph::Network;
use super::node::{Node, NodeId};
use crate::layer::{LayerBackend, missing};
use crate::memory::Tried;
use crate::pass::{Backend, Executor, Input, Map, Pass, Through};

/// Maps and statistics by node.
pub(crate) struct Tape<B: Backend> {
    pub maps: Vec<Option<Map<B::Data>>>,
    /// A few values per channel for each norm. They stay when maps are freed, so that norms see a micro-batch once.
    pub statistics: Vec<Option<B::Statistics>>,
}

impl<B: LayerBackend> Tape<B> {
    pub fn new(network: &Network, images: Map<B::Data>) -> Self {
        let mut tape = Self {
            maps: network.nodes.iter().map(|_| None).collect(),
            statistics: network.nodes.iter().map(|_| None).collect(),
        };
        tape.maps[0] = Some(images);
        tape
    }

    pub fn map(&self, node: NodeId) -> Tried<&Map<B::Data>> {
        self.maps[node].as_ref().ok_or_else(|| missing("a map"))
    }

    pub fn take(&mut self, node: NodeId) -> Tried<Map<B::Data>> {
        self.maps[node].take().ok_or_else(|| missing("a map"))
    }

    pub fn statistics(&self, node: NodeId) -> Tried<&B::Statistics> {
        self.statistics[node].as_ref().ok_or_else(|| missing("a norm's statistics"))
    }

    /// What a layer reads of one node: its map, or the maps that a norm is over, through the norm.
    pub fn reads(&self, network: &Network, node: NodeId) -> Tried<Vec<Input<'_, B>>> {
        match &network.nodes[node] {
            Node::Norm { inputs, .. } => {
                let statistics = self.statistics(node)?;
                let read = |(part, &map): (usize, &NodeId)| {
                    Ok(Input { map: self.map(map)?, through: Some(Through { statistics, part }) })
                };
                inputs.iter().enumerate().map(read).collect()
            }
            Node::Images | Node::Layer { .. } => Ok(vec![Input::plain(self.map(node)?)]),
        }
    }

    /// What a layer reads of all its inputs, in the order of channels.
    pub fn inputs(&self, network: &Network, nodes: &[NodeId]) -> Tried<Vec<Input<'_, B>>> {
        let mut all = Vec::with_capacity(nodes.len());
        for &node in nodes {
            all.extend(self.reads(network, node)?);
        }
        Ok(all)
    }

    /// Runs a node: a layer makes its map anew; a norm takes its statistics, once.
    pub fn run(&mut self, network: &Network, e: &mut Executor<B>, node: NodeId, pass: Pass) -> Tried<()> {
        match &network.nodes[node] {
            Node::Images => {}
            Node::Layer { layer, inputs } => {
                let map = layer.on::<B>().forward(e, &self.inputs(network, inputs)?)?;
                self.maps[node] = Some(map);
            }
            Node::Norm { norm, inputs } => {
                if self.statistics[node].is_none() {
                    let maps = inputs.iter().map(|&input| self.map(input)).collect::<Tried<Vec<_>>>()?;
                    let statistics = norm.statistics(e, &maps, pass)?;
                    self.statistics[node] = Some(statistics);
                }
            }
        }
        Ok(())
    }
}
