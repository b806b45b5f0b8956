//! What the norms become in ONNX, with the activations after them.

use pipeline_contract::{Result, StageError};

use super::proto::Attribute;
use super::translation::Translation;
use crate::layer::{Norm, NormKind};
use crate::network::NodeId;

impl Translation<'_> {
    /// Adds a norm over the maps of some nodes, concatenated, and its activation; returns the value after both.
    pub fn norm(&mut self, block: &str, norm: &Norm, inputs: &[NodeId]) -> Result<String> {
        let (read, name) = (self.joined(block, inputs)?, self.name_of(norm.scale));
        let value = match norm.kind {
            NormKind::Batch => self.batch_norm(&name, norm, &read)?,
            // Also group norm with a group for each channel.
            _ if norm.members() == 1 => {
                let (scale, shift) = (self.trained(norm.scale), self.trained(norm.shift));
                self.graph.operator(&name, "InstanceNormalization", &[&read, &scale, &shift], epsilon(norm))
            }
            NormKind::Group | NormKind::Instance => self.group_norm(&name, norm, &read),
        };
        Ok(self.activated(norm.activation, value))
    }

    /// By the running statistics.
    fn batch_norm(&mut self, name: &str, norm: &Norm, read: &str) -> Result<String> {
        let running = norm.running.ok_or_else(|| StageError::new("a batch norm has no running statistics"))?;
        let (scale, shift) = (self.trained(norm.scale), self.trained(norm.shift));
        let (mean, variance) = (self.statistic(running.mean), self.statistic(running.variance));
        Ok(self.graph.operator(name, "BatchNormalization", &[read, &scale, &shift, &mean, &variance], epsilon(norm)))
    }

    /// As an instance norm over the groups, each made one long channel, then scale and shift. ONNX has an operator for group norm
    /// only from opset 18 on, and with a scale for each channel only from opset 21 on.
    fn group_norm(&mut self, name: &str, norm: &Norm, read: &str) -> String {
        let own = |part: &str| format!("{name}.{part}");
        let groups = norm.groups;
        let shape = self.graph.operator(&own("shape"), "Shape", &[read], Vec::new());
        // 0 keeps the batch, -1 is what remains.
        let grouped = self.graph.integers(&own("groups"), &[0, groups as i64, -1]);
        let grouped = self.graph.operator(&own("grouped"), "Reshape", &[read, &grouped], Vec::new());
        let ones = self.graph.constant(&own("ones"), &[groups], &vec![1.0; groups]);
        let zeros = self.graph.constant(&own("zeros"), &[groups], &vec![0.0; groups]);
        let inputs = [grouped.as_str(), &ones, &zeros];
        let normed = self.graph.operator(&own("normed"), "InstanceNormalization", &inputs, epsilon(norm));
        let normed = self.graph.operator(&own("ungrouped"), "Reshape", &[&normed, &shape], Vec::new());
        let per_channel = [norm.channels, 1, 1];
        let scale = self.graph.constant(&own("scale"), &per_channel, self.values(norm.scale));
        let shift = self.graph.constant(&own("shift"), &per_channel, self.values(norm.shift));
        let scaled = self.graph.operator(&own("scaled"), "Mul", &[&normed, &scale], Vec::new());
        self.graph.operator(name, "Add", &[&scaled, &shift], Vec::new())
    }
}

fn epsilon(norm: &Norm) -> Vec<Attribute> {
    vec![Attribute::float("epsilon", norm.eps as f32)]
}
