//! What a forward pass leaves behind: maps and norm statistics, by node.

use super::graph::Network;
use super::node::{Node, NodeId};
use crate::layer::{LayerBackend, missing};
use crate::memory::Tried;
use crate::pass::{Backend, Executor, Input, Map, Pass, Through};

/// Maps and statistics by node.
pub(crate) struct Tape<B: Backend> {
    pub maps: Vec<Option<Map<B::Data>>>,
    /// A few values per channel for each norm. They are kept when maps are freed, so that norms see a micro-batch only once.
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

    /// What a layer reads from one node: its map, or the maps that a norm covers, read through the norm.
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

    /// What a layer reads from all its inputs, in channel order.
    pub fn inputs(&self, network: &Network, nodes: impl Iterator<Item = NodeId>) -> Tried<Vec<Input<'_, B>>> {
        let mut all = Vec::new();
        for node in nodes {
            all.extend(self.reads(network, node)?);
        }
        Ok(all)
    }

    /// Runs a node: a layer computes its map; a norm takes its statistics, once. Nothing reads the maps in `gone` afterwards:
    /// they are freed, or the new map takes over their memory.
    pub fn run(&mut self, network: &Network, e: &mut Executor<B>, node: NodeId, pass: Pass, gone: &[NodeId]) -> Tried<()> {
        match &network.nodes[node] {
            Node::Images => {}
            Node::Layer { layer, inputs } => {
                let free = |input: &NodeId| gone.contains(input) && inputs.iter().filter(|other| *other == input).count() == 1;
                let over = inputs.iter().position(free).filter(|_| layer.rules().takes_over());
                let into = over.map(|at| self.take(inputs[at])).transpose()?;
                let read = inputs.iter().enumerate().filter(|(at, _)| over != Some(*at)).map(|(_, &input)| input);
                let map = layer.on::<B>().forward(e, &self.inputs(network, read)?, into)?;
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
        gone.iter().for_each(|&map| self.maps[map] = None);
        Ok(())
    }
}
