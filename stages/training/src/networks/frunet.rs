//! FR-UNet (Liu et al., "Full-Resolution Network and Dual-Threshold Iteration for Retinal Vessel and Coronary Angiograph
//! Segmentation", IEEE JBHI 26(9), 2022): a triangle of blocks, whose top row keeps the full resolution.

use pipeline_kernels::{Activation, Geometry};
use serde_json::Value;

use super::kind::NetworkKind;
use super::options::read;
use super::size::{Size, SizeOptions};
use crate::layer::{Convolution, Head, Layer, MeanLogits, Norm, Sum, TransposedConvolution};
use crate::network::{Builder, Heads, Network, NodeId};

/// The paper's activation.
const LEAKY: Activation = Activation::LeakyRelu(0.1);

pub(super) fn kind() -> NetworkKind {
    let doc = "FR-UNet (Liu 2022): full-resolution row over coarser ones, mean of several heads; 3 channels in";
    NetworkKind::new("frunet", doc, Size::options(32, 4, "batch"), |options: &Value| {
        Ok(network(read::<SizeOptions>(options)?.try_into()?))
    })
}

/// A network under construction.
struct Triangle {
    b: Builder,
    size: Size,
    /// The output of each block: row, column, node.
    made: Vec<(usize, usize, NodeId)>,
}

impl Triangle {
    fn norm(&mut self, name: &str, channels: usize, activation: Activation, map: NodeId) -> NodeId {
        let norm = Norm::new(&mut self.b.layout, name, channels, self.size.norm, activation);
        self.b.norm(norm, &[map])
    }

    fn conv(&mut self, name: &str, inputs: &[NodeId], channels: [usize; 2], geometry: Geometry) -> NodeId {
        let layer = Convolution::of(&mut self.b.layout, name, channels, geometry);
        self.b.layer(layer, inputs)
    }

    fn add(&mut self, maps: &[NodeId], activation: Activation) -> NodeId {
        self.b.layer(Sum { activation }, maps)
    }

    /// The inputs of a block from its neighbours in the previous column (the row above downsampled, the block's own row, the row
    /// below upsampled), and their number of channels. The downsampling and upsampling layers are named after the neighbour.
    fn neighbours(&mut self, row: usize, column: usize) -> (Vec<NodeId>, usize) {
        let channels = self.size.channels(row);
        let before: Vec<_> = self.made.iter().copied().filter(|(_, at, _)| at + 1 == column).collect();
        let mut found = Vec::new();
        for (from, at, map) in before {
            let (name, own) = (format!("blocks.r{from}c{at}"), self.size.channels(from));
            let moved = |layer: &mut Self, which: &str, made: Layer| {
                let map = layer.b.layer(made, &[map]);
                layer.norm(&format!("{name}.{which}_norm"), channels, LEAKY, map)
            };
            if from + 1 == row {
                let down =
                    Convolution::of(&mut self.b.layout, &format!("{name}.down"), [own, channels], Geometry::TWO_STRIDE_2);
                found.push(moved(self, "down", down.into()));
            } else if from == row + 1 {
                let up = TransposedConvolution::without_bias(&mut self.b.layout, &format!("{name}.up"), own, channels);
                found.push(moved(self, "up", up.into()));
            } else if from == row {
                found.push(map);
            }
        }
        let count = found.len() * channels;
        (found, count)
    }

    /// Aggregation where channels change (the sum of a 1x1, a 3x3 and a dilated 3x3 convolution, then the norm), then the
    /// residual block.
    fn block(&mut self, row: usize, column: usize) -> NodeId {
        let (name, own) = (format!("blocks.r{row}c{column}"), self.size.channels(row));
        self.b.block(&name);
        let (inputs, channels) = match self.neighbours(row, column) {
            (inputs, _) if inputs.is_empty() => (vec![Builder::IMAGES], 3),
            found => found,
        };
        let x = if channels == own {
            inputs[0]
        } else {
            let part = |to: &mut Self, which: &str, geometry| {
                to.conv(&format!("{name}.aggregate.{which}"), &inputs, [channels, own], geometry)
            };
            let point = part(self, "point", Geometry::ONE);
            let near = part(self, "near", Geometry::THREE);
            let both = self.add(&[point, near], Activation::Identity);
            let wide = part(self, "wide", Geometry::THREE_DILATION_2);
            let all = self.add(&[both, wide], Activation::Identity);
            self.norm(&format!("{name}.aggregate.norm"), own, Activation::Identity, all)
        };
        let half = self.conv(&format!("{name}.conv1"), &[x], [own, own], Geometry::THREE);
        let half = self.norm(&format!("{name}.norm1"), own, LEAKY, half);
        let whole = self.conv(&format!("{name}.conv2"), &[half], [own, own], Geometry::THREE);
        let whole = self.norm(&format!("{name}.norm2"), own, Activation::Identity, whole);
        self.add(&[whole, x], LEAKY)
    }
}

fn network(size: Size) -> Network {
    let (depth, last) = (size.depth, 2 * (size.depth - 1));
    let mut t = Triangle { b: Builder::default(), size, made: Vec::new() };
    for column in 0..=last {
        for row in (0..depth).filter(|&row| row <= column && column + row <= last) {
            let map = t.block(row, column);
            t.made.push((row, column, map));
        }
    }
    // Heads on the top row from column 2 on; with only one or two levels, on its last column.
    let first = last.min(2);
    let tops: Vec<_> = t.made.iter().copied().filter(|(row, column, _)| *row == 0 && *column >= first).collect();
    t.b.block("heads");
    let mut heads = Vec::new();
    for (_, column, map) in tops {
        let head = Head::new(&mut t.b.layout, &format!("heads.c{column}"), size.base, size.classes);
        heads.push(t.b.layer(head, &[map]));
    }
    let logits = t.b.layer(MeanLogits { count: heads.len() }, &heads);
    let (about, metadata) = (format!("FR-UNet of {}", size.about()), size.metadata("frunet"));
    t.b.finish(about, metadata, Heads::single(logits, size.classes), size.stride())
}
