//! The forward pass, and a whole training pass: forward, loss, backward.

use super::backward::Backward;
use super::checkpointing::Checkpointing;
use super::graph::Network;
use super::tape::Tape;
use crate::layer::LayerBackend;
use crate::loss::{Loss, LossBackend, Target};
use crate::memory::Tried;
use crate::pass::{Executor, Made, Map, Pass};

impl Network {
    /// Logits `[batch, classes, height, width]` of images. In evaluation nothing is kept: a map goes with its last reader. In
    /// training batch norm uses the batch's statistics.
    pub(crate) fn predict<B: LayerBackend>(&self, e: &mut Executor<B>, images: Map<B::Data>, pass: Pass) -> Made<B> {
        let mut tape = Tape::new(self, images);
        for block in &self.blocks {
            let nodes = block.nodes.clone().filter(|&node| self.liveness.is_predicting[node]);
            for (at, node) in nodes.enumerate() {
                if at == 0 {
                    e.enter(&block.name, "forward");
                }
                tape.run(self, e, node, pass)?;
                for &map in &self.liveness.free_evaluation[node] {
                    if !self.liveness.is_head[map] {
                        tape.maps[map] = None;
                    }
                }
            }
        }
        tape.take(self.logits)
    }

    /// The forward pass of training: keeps what the backward pass reads under a checkpointing mode.
    fn forward<B: LayerBackend>(&self, e: &mut Executor<B>, images: Map<B::Data>, mode: Checkpointing) -> Tried<Tape<B>> {
        let (live, mut tape) = (&*self.liveness, Tape::new(self, images));
        for block in &self.blocks {
            e.enter(&block.name, "forward");
            for node in block.nodes.clone() {
                tape.run(self, e, node, Pass::Train)?;
                for &map in live.free_in_block[node].iter().filter(|&&map| !live.is_head[map]) {
                    let kept = if mode == Checkpointing::None { live.is_saved[map] } else { live.is_output[map] };
                    match &mut tape.maps[map] {
                        Some(map) if kept => map.save(&block.name),
                        // The next blocks read it, but nobody after that.
                        _ if live.is_output[map] => {}
                        map => *map = None,
                    }
                }
                if mode == Checkpointing::None {
                    for &map in live.free_forward[node].iter().filter(|&&map| !live.is_head[map] && !live.is_saved[map]) {
                        tape.maps[map] = None;
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
            let part = crate::loss::Part { weight: head.weight, first: at == 0 };
            upstreams.push((head.node, loss.gradient(e, logits, target, (scale, part))?));
        }
        Backward::new(self, e, tape, mode).run(upstreams)
    }
}
