//! The backward pass: nodes in reverse order, each once all its readers have contributed to its gradient. Maps are freed as soon
//! as nothing needs them; maps that checkpointing dropped are recomputed, one block at a time.

use super::checkpointing::Checkpointing;
use super::graph::Network;
use super::liveness::maps_of;
use super::node::{Node, NodeId};
use super::tape::Tape;
use crate::layer::{LayerBackend, Upstream, Wanted, missing};
use crate::memory::Tried;
use crate::pass::{Executor, Map, Pass, Shape};

/// A backward pass in progress.
pub(super) struct Backward<'a, B: LayerBackend> {
    network: &'a Network,
    e: &'a mut Executor<B>,
    tape: Tape<B>,
    mode: Checkpointing,
    /// The gradients of nodes accumulated so far: one per node, or one per input of a norm.
    gradients: Vec<Vec<Option<Map<B::Data>>>>,
    /// How many readers of each node have yet to contribute to its gradient.
    left: Vec<usize>,
    /// Which blocks were recomputed.
    remade: Vec<bool>,
    /// The shapes of all nodes' maps, which may already be freed.
    shapes: Vec<Shape>,
}

impl<'a, B: LayerBackend> Backward<'a, B> {
    pub fn new(network: &'a Network, e: &'a mut Executor<B>, tape: Tape<B>, mode: Checkpointing) -> Self {
        let parts = |node: &Node| if let Node::Norm { inputs, .. } = node { inputs.len() } else { 1 };
        let gradients = network.nodes.iter().map(|node| (0..parts(node)).map(|_| None).collect()).collect();
        let (left, remade) = (network.liveness.readers.clone(), vec![false; network.blocks.len()]);
        let shapes = tape.maps[0].as_ref().map_or_else(Vec::new, |images| network.shapes(images.area));
        Self { network, e, tape, mode, gradients, left, remade, shapes }
    }

    /// Adds the gradients of all trained tensors to the window's sums, given the gradients of the supervised heads' logits.
    pub fn run(mut self, upstreams: Vec<(NodeId, Map<B::Data>)>) -> Tried<()> {
        for (head, upstream) in upstreams {
            self.gradients[head][0] = Some(upstream);
        }
        let network = self.network;
        for (index, block) in network.blocks.iter().enumerate().rev() {
            self.e.enter(&block.name, "backward");
            for node in block.nodes.clone().rev() {
                self.node(node, index)?;
            }
        }
        Ok(())
    }

    /// The backward pass of a node whose gradient is complete. A node that nothing reads has no gradient and passes none on; a
    /// node that was already done has passed its own on.
    fn node(&mut self, node: NodeId, block: usize) -> Tried<()> {
        if self.gradients[node].iter().any(Option::is_none) {
            return if self.gradients[node].iter().all(Option::is_none) { Ok(()) } else { Err(missing("a gradient")) };
        }
        let upstream: Vec<_> = self.gradients[node].iter_mut().filter_map(Option::take).collect();
        self.ensure(node, block)?;
        let network = self.network;
        for &map in &network.liveness.backward[node] {
            if let Some(map) = self.tape.maps[map].as_mut().filter(|_| network.block_of(map) == Some(block)) {
                map.work();
            }
        }
        match &network.nodes[node] {
            Node::Images => Ok(()),
            Node::Norm { norm, inputs } => {
                let upstream = {
                    let maps = inputs.iter().map(|&input| self.tape.map(input)).collect::<Tried<Vec<_>>>()?;
                    norm.backward(self.e, &maps, self.tape.statistics(node)?, upstream)?
                };
                self.tape.statistics[node] = None;
                self.free(node);
                // Last to first, since nodes free the maps that only earlier nodes would still read.
                for (&input, upstream) in inputs.iter().zip(upstream).rev() {
                    let sum = self.gradients[input][0].take();
                    self.gradients[input][0] = Some(self.e.add(sum, upstream)?);
                    self.given(input, block)?;
                }
                Ok(())
            }
            Node::Layer { .. } => self.layer(node, block, upstream.into_iter().next().ok_or_else(|| missing("a gradient"))?),
        }
    }

    fn layer(&mut self, node: NodeId, block: usize, upstream: Map<B::Data>) -> Tried<()> {
        let network = self.network;
        let Node::Layer { layer, inputs } = &network.nodes[node] else { return Ok(()) };
        let (on, keeps) = (layer.on::<B>(), layer.rules().keeps());
        let output = if keeps.output { Some(self.tape.map(node)?) } else { None };
        let upstream = on.output_gradient(self.e, output, upstream)?;
        if keeps.inputs {
            on.parameter_gradients(self.e, &self.tape.inputs(network, inputs.iter().copied())?, &upstream)?;
        }
        let shape = |map: NodeId| self.shapes[map];
        let shapes: Vec<Vec<Shape>> =
            inputs.iter().map(|&input| maps_of(&network.nodes, input).into_iter().map(shape).collect()).collect();
        // A layer that also reads maps for its input gradients holds them until the end.
        let holds = keeps.inputs_for_gradient || keeps.output;
        if !holds {
            self.free(node);
        }
        let trained = |input: &NodeId| network.liveness.is_trained[*input];
        // The first input that wants a gradient gets it last and takes over the upstream.
        let first = inputs.iter().position(trained);
        let (mut upstream, mut end) = (Some(upstream), shapes.iter().flatten().map(|shape| shape.channels).sum());
        for (position, (&input, shapes)) in inputs.iter().zip(&shapes).enumerate().rev() {
            for (part, &shape) in shapes.iter().enumerate().rev() {
                let channels: std::ops::Range<usize> = end - shape.channels..end;
                end = channels.start;
                if !trained(&input) {
                    continue;
                }
                let last = first == Some(position) && part == 0;
                let taken = if last { upstream.take() } else { None };
                let upstream = match taken {
                    Some(map) => Upstream::Last(map),
                    None => Upstream::Shared(upstream.as_ref().ok_or_else(|| missing("a gradient"))?),
                };
                let sum = self.gradients[input][part].take();
                let read = match keeps.inputs_for_gradient {
                    true => Some(self.tape.reads(network, input)?[part]),
                    false => None,
                };
                let output = if keeps.output { Some(self.tape.map(node)?) } else { None };
                let wanted = Wanted { channels, shape, input: read, output, upstream, sum };
                self.gradients[input][part] = Some(on.input_gradient(self.e, wanted)?);
            }
            if trained(&input) {
                self.given(input, block)?;
            }
        }
        self.free(node);
        Ok(())
    }

    /// Records that a reader has contributed to a node's gradient. A complete node in the same block is processed at once, so
    /// that its gradient isn't held alongside others.
    fn given(&mut self, node: NodeId, block: usize) -> Tried<()> {
        self.left[node] -= 1;
        if self.left[node] == 0 && self.network.block_of(node) == Some(block) { self.node(node, block) } else { Ok(()) }
    }

    /// Frees the maps that no backward pass needs after this node's.
    fn free(&mut self, node: NodeId) {
        for &map in &self.network.liveness.free_backward[node] {
            self.tape.maps[map] = None;
        }
    }

    /// Recomputes the maps that a node's backward pass reads and that checkpointing dropped: the first time, together with all
    /// others that its block's backward pass will still read.
    fn ensure(&mut self, node: NodeId, block: usize) -> Tried<()> {
        let (network, live) = (self.network, &self.network.liveness);
        let absent = |tape: &Tape<B>, map: NodeId| tape.maps[map].is_none();
        if !live.backward[node].iter().any(|&map| absent(&self.tape, map)) {
            return Ok(());
        }
        let own = network.blocks[block].nodes.clone();
        let readers = if std::mem::replace(&mut self.remade[block], true) { node..node + 1 } else { own.start..node + 1 };
        let wanted: Vec<NodeId> =
            readers.flat_map(|reader| live.backward[reader].iter().copied()).filter(|&map| absent(&self.tape, map)).collect();
        // The maps that are wanted, and those they are computed from.
        let mut made = vec![false; own.end];
        wanted.iter().for_each(|&map| made[map] = true);
        for map in own.clone().rev().filter(|&map| map <= node) {
            if made[map] && absent(&self.tape, map) {
                let read = network.nodes[map].inputs().iter().flat_map(|&input| maps_of(&network.nodes, input));
                read.filter(|&map| absent(&self.tape, map)).for_each(|map| made[map] = true);
            }
        }
        let mut readers: Vec<Option<NodeId>> = vec![None; own.end];
        for map in own.clone().filter(|&map| made[map]) {
            let read = network.nodes[map].inputs().iter().flat_map(|&input| maps_of(&network.nodes, input));
            read.for_each(|read| readers[read] = Some(map));
        }
        for map in own.clone().filter(|&map| made[map]) {
            let cheap = |map: NodeId| match &network.nodes[map] {
                Node::Layer { layer, .. } => layer.rules().is_cheap(),
                Node::Images | Node::Norm { .. } => false,
            };
            let gone = |&done: &NodeId| {
                let again = self.mode == Checkpointing::Full && cheap(done) && !live.backward[node].contains(&done);
                made[done] && readers[done] == Some(map) && (again || !wanted.contains(&done))
            };
            let gone: Vec<NodeId> = (own.start..map).filter(gone).collect();
            self.tape.run(network, self.e, map, Pass::Train, &gone)?;
        }
        Ok(())
    }
}
