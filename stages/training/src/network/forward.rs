//! The forward pass, and a whole training pass: forward, loss, backward.

use super::backward::Backward;
use super::checkpointing::Checkpointing;
use super::graph::Network;
use super::node::NodeId;
use super::tape::Tape;
use crate::layer::LayerBackend;
use crate::loss::{Loss, LossBackend, Part, Target};
use crate::memory::Tried;
use crate::pass::{Executor, Made, Map, Pass};

impl Network {
    /// The logits `[batch, classes, height, width]` of images. In evaluation nothing is kept: a map is freed after its last
    /// reader. In training batch norm uses the batch's statistics.
    pub(crate) fn predict<B: LayerBackend>(&self, e: &mut Executor<B>, images: Map<B::Data>, pass: Pass) -> Made<B> {
        let (live, mut tape) = (&*self.liveness, Tape::new(self, images));
        for block in &self.blocks {
            let nodes = block.nodes.clone().filter(|&node| live.is_predicting[node]);
            for (at, node) in nodes.enumerate() {
                if at == 0 {
                    e.enter(&block.name, "forward");
                }
                let gone: Vec<NodeId> = live.free_evaluation[node].iter().copied().filter(|&map| !live.is_head[map]).collect();
                tape.run(self, e, node, pass, &gone)?;
            }
        }
        tape.take(self.logits)
    }

    /// The forward pass of training: keeps what the backward pass reads under the checkpointing mode.
    fn forward<B: LayerBackend>(&self, e: &mut Executor<B>, images: Map<B::Data>, mode: Checkpointing) -> Tried<Tape<B>> {
        let (live, mut tape) = (&*self.liveness, Tape::new(self, images));
        for block in &self.blocks {
            e.enter(&block.name, "forward");
            for node in block.nodes.clone().filter(|&node| live.is_run[node]) {
                let none = mode == Checkpointing::None;
                let kept = |map: NodeId| if none { live.is_saved[map] } else { live.is_output[map] };
                // Outside its own block a map is read by other blocks, by the backward pass, or not at all.
                let done = |&map: &NodeId| !live.is_head[map] && !kept(map) && !live.is_output[map];
                let mut gone: Vec<NodeId> = live.free_in_block[node].iter().copied().filter(done).collect();
                if none {
                    let done = |&map: &NodeId| live.is_output[map] && !live.is_saved[map] && !live.is_head[map];
                    gone.extend(live.free_forward[node].iter().copied().filter(done));
                }
                tape.run(self, e, node, Pass::Train, &gone)?;
                for &map in live.free_in_block[node].iter().filter(|&&map| kept(map) && !live.is_head[map]) {
                    if let Some(map) = &mut tape.maps[map] {
                        map.save(&block.name);
                    }
                }
            }
        }
        Ok(tape)
    }

    /// A training pass over a micro-batch: adds `scale` times the gradients of the sum of its samples' losses to the window's
    /// sums.
    pub(crate) fn train<B: LayerBackend + LossBackend>(
        &self,
        e: &mut Executor<B>,
        images: Map<B::Data>,
        target: Target<'_>,
        (loss, scale): (&Loss, f32),
        mode: Checkpointing,
    ) -> Tried<()> {
        let mut tape = self.forward(e, images, mode)?;
        let mut upstreams = Vec::new();
        for (at, head) in self.supervised.iter().enumerate() {
            let logits = tape.take(head.node)?;
            let part = Part { weight: head.weight, first: at == 0 };
            upstreams.push((head.node, loss.gradient(e, logits, target, (scale, part))?));
        }
        Backward::new(self, e, tape, mode).run(upstreams)
    }
}
