//! The memory that a graphics device's operations need besides their inputs and results. Part of every build, since any build may
//! be asked for a plan.

use std::ops::RangeInclusive;

use pipeline_kernels::{Area, ConvolutionShape};

use crate::backend::counting::Costs;
use crate::layer::{ConvolutionCall, TransposedCall, TransposedConvolution};
use crate::loss::Loss;
use crate::pass::Scratch;
use crate::precision::Precision;

/// How many im2col values are written at a time for a weight gradient, unless a single row has more: as many as the map itself
/// has, if that is within the range, so that the gradient takes no more memory than the forward pass.
pub(super) const NEIGHBOURS: RangeInclusive<usize> = 1 << 20..=1 << 23;

/// The costs of a graphics device's operations.
pub(crate) struct GraphicsCosts;

impl Costs for GraphicsCosts {
    /// The transferred bytes, and each as an integer.
    fn images(&self, _: Precision, area: Area) -> Scratch {
        Scratch::bytes(area.values(3) as u64 + wide(3, area))
    }

    /// A convolution's input that is read through a norm is written out first, and the results for several inputs are added up;
    /// in half precision the convolution reads copies of its weights.
    fn convolution(&self, precision: Precision, call: ConvolutionCall) -> Scratch {
        let map = |channels: usize, area: Area| area.values(channels) as u64 * precision.bytes();
        let narrowed = |values: usize| if precision.is_half() { values as u64 * 2 } else { 0 };
        match call {
            ConvolutionCall::Forward { shape, parts, normed } => {
                let ConvolutionShape { geometry, inputs, outputs, area } = shape;
                let (out, weights) = (geometry.output(area), inputs * outputs * geometry.taps());
                let sum = if parts > 1 { map(outputs, out) } else { 0 };
                let largest = map(normed, area).max(map(outputs, out));
                Scratch::bytes(narrowed(weights) + map(normed, area).max(sum)).largest(largest)
            }
            // The im2col values of some pixels, and their products before these are summed.
            ConvolutionCall::Weight { shape } => {
                let ConvolutionShape { inputs, outputs, area, .. } = shape;
                let neighbours =
                    (3 * area.values(inputs)).min(area.values(inputs).clamp(*NEIGHBOURS.start(), *NEIGHBOURS.end()));
                Scratch::bytes(neighbours as u64 * precision.bytes() + 4 * 3 * 9 * (inputs * outputs) as u64)
            }
            ConvolutionCall::Input { shape, wanted } => {
                let weights = wanted * shape.outputs * shape.geometry.taps();
                Scratch::bytes(4 * weights as u64 + narrowed(weights)).largest(map(wanted, shape.area))
            }
        }
    }

    fn transposed(&self, precision: Precision, call: TransposedCall, layer: &TransposedConvolution, area: Area) -> Scratch {
        let map = |channels: usize| area.values(channels) as u64 * precision.bytes();
        let blocks = 4 * map(layer.outputs);
        let bytes = match call {
            TransposedCall::Forward | TransposedCall::Weight => map(layer.inputs) + blocks,
            TransposedCall::Input => blocks,
        };
        Scratch::bytes(bytes).largest(blocks)
    }

    /// The masks as floats, converted from integers.
    fn loss(&self, _: &Loss, _: usize, area: Area) -> Scratch {
        Scratch::bytes(2 * wide(1, area))
    }
}

/// Bytes of a float32 map.
fn wide(channels: usize, area: Area) -> u64 {
    area.values(channels) as u64 * 4
}
