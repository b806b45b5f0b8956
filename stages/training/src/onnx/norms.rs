//! What the norms become in ONNX, with the activations after them.

use pipeline_contract::{Result, StageError};

use super::graph::Graph;
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
            NormKind::Group | NormKind::Instance => self.sample_norm(&name, norm, &read),
        };
        Ok(self.activated(norm.activation, value))
    }

    /// By the running statistics.
    fn batch_norm(&mut self, name: &str, norm: &Norm, read: &str) -> Result<String> {
        let running = norm.running.ok_or_else(|| StageError::new("a batch norm has no running statistics"))?;
        let (scale, shift) = (self.trained(norm.scale), self.trained(norm.shift));
        let (mean, variance) = (self.statistic(running.mean), self.statistic(running.variance));
        let epsilon = vec![Attribute::float("epsilon", norm.eps as f32)];
        Ok(self.graph.operator(name, "BatchNormalization", &[read, &scale, &shift, &mean, &variance], epsilon))
    }

    /// By the statistics of each sample's groups; an instance norm has a group for each channel. Means are taken in steps, over
    /// columns, rows and channels. ONNX's InstanceNormalization would be one operator, but onnxruntime's sums a whole map in
    /// float32 in one go: at 512 x 384 its probabilities differed up to 15 times as much from the network's.
    fn sample_norm(&mut self, name: &str, norm: &Norm, read: &str) -> String {
        let per_channel = [norm.channels, 1, 1];
        let mean = self.mean(&format!("{name}.mean"), norm, read);
        let centred = self.graph.operator(&format!("{name}.centred"), "Sub", &[read, &mean], Vec::new());
        let squares = self.graph.operator(&format!("{name}.squares"), "Mul", &[&centred, &centred], Vec::new());
        let variance = self.mean(&format!("{name}.variance"), norm, &squares);
        let epsilon = self.graph.constant(&format!("{name}.epsilon"), &[], &[norm.eps as f32]);
        let variance = self.graph.operator(&format!("{name}.above_zero"), "Add", &[&variance, &epsilon], Vec::new());
        let deviation = self.graph.operator(&format!("{name}.deviation"), "Sqrt", &[&variance], Vec::new());
        let scale = self.graph.constant(&format!("{name}.scale"), &per_channel, self.values(norm.scale));
        let factor = self.graph.operator(&format!("{name}.factor"), "Div", &[&scale, &deviation], Vec::new());
        let scaled = self.graph.operator(&format!("{name}.scaled"), "Mul", &[&centred, &factor], Vec::new());
        let shift = self.graph.constant(&format!("{name}.shift"), &per_channel, self.values(norm.shift));
        self.graph.operator(name, "Add", &[&scaled, &shift], Vec::new())
    }

    /// From `[batch, channels, height, width]` to `[batch, channels, 1, 1]`: the mean of the group that a channel is in.
    fn mean(&mut self, name: &str, norm: &Norm, read: &str) -> String {
        let (groups, members) = (norm.channels / norm.members(), norm.members());
        let over = |graph: &mut Graph, part: &str, axis: usize, read: &str| {
            graph.operator(&format!("{name}.{part}"), "ReduceMean", &[read], vec![Attribute::ints("axes", &[axis])])
        };
        let rows = over(&mut self.graph, "rows", 3, read);
        let maps = over(&mut self.graph, "maps", 2, &rows);
        if members == 1 {
            return maps;
        }
        // A length of 0 keeps the batch.
        let apart = self.graph.shape(&[0, groups, members, 1]);
        let grouped = self.graph.operator(&format!("{name}.grouped"), "Reshape", &[&maps, &apart], Vec::new());
        let grouped = over(&mut self.graph, "groups", 2, &grouped);
        let each = self.graph.shape(&[1, 1, members, 1]);
        let repeated = self.graph.operator(&format!("{name}.repeated"), "Expand", &[&grouped, &each], Vec::new());
        let joined = self.graph.shape(&[0, norm.channels, 1, 1]);
        self.graph.operator(name, "Reshape", &[&repeated, &joined], Vec::new())
    }
}
