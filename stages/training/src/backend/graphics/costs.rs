//! The memory that a graphics device's operations need besides their inputs and results. Part of every build, since any build may
//! be asked for a plan.

use pipeline_kernels::{Area, ConvolutionShape};

use crate::backend::counting::Costs;
use crate::layer::{ConvolutionCall, TransposedCall, TransposedConvolution};
use crate::loss::Loss;
use crate::pass::Scratch;
use crate::precision::Precision;

/// Float32 sums of a weight gradient that are kept at most before they are added up, unless one set of them is larger.
pub(super) const SUMS: usize = 3 << 21;

/// The most values of a convolution's weights of which a copy is kept from the forward pass for the backward pass. A network's larger
/// ones are most of its memory, but few.
pub(super) const KEPT: usize = 1 << 20;

/// Pixels that one cube of a convolution computes, or sums over: as many as the usual tiles have.
const PIXELS: usize = 256;

/// The costs of a graphics device's operations.
pub(crate) struct GraphicsCosts;

impl Costs for GraphicsCosts {
    /// The transferred bytes.
    fn images(&self, _: Precision, area: Area) -> Scratch {
        Scratch::bytes(area.values(3) as u64)
    }

    fn kept(&self, precision: Precision, values: usize) -> u64 {
        if values > KEPT { 0 } else { values as u64 * precision.bytes() }
    }

    /// Copies of large weights as the kernels read them; the partial statistics of the output; and the sums of a weight gradient.
    fn convolution(&self, precision: Precision, call: ConvolutionCall) -> Scratch {
        let map = |channels: usize, area: Area| area.values(channels) as u64 * precision.bytes();
        match call {
            ConvolutionCall::Forward { shape } => {
                let ConvolutionShape { geometry, outputs, area, .. } = shape;
                let out = geometry.output(area);
                let statistics = 2 * wide(outputs, out) / PIXELS as u64;
                Scratch::bytes(packed(weights(shape), precision) + statistics).largest(map(outputs, out))
            }
            ConvolutionCall::Weight { shape } => {
                let pixels = shape.geometry.output(shape.area).values(1);
                Scratch::bytes(sums(weights(shape), pixels))
            }
            ConvolutionCall::Input { shape, wanted } => {
                Scratch::bytes(packed(weights(shape), precision)).largest(map(wanted, shape.area))
            }
        }
    }

    fn transposed(&self, precision: Precision, call: TransposedCall, layer: &TransposedConvolution, area: Area) -> Scratch {
        let weights = 4 * (layer.inputs * layer.outputs) as u64;
        match call {
            TransposedCall::Forward => {
                let larger = 4 * area.values(layer.outputs) as u64 * precision.bytes();
                Scratch::bytes(packed(weights, precision)).largest(larger)
            }
            TransposedCall::Weight => Scratch::bytes(sums(weights, area.values(1))),
            TransposedCall::Input => {
                let smaller = area.values(layer.inputs) as u64 * precision.bytes();
                Scratch::bytes(packed(weights, precision)).largest(smaller)
            }
        }
    }

    /// The transferred masks, and each as a float or an integer.
    fn loss(&self, _: &Loss, _: usize, area: Area) -> Scratch {
        Scratch::bytes(area.values(1) as u64 + wide(1, area))
    }
}

/// Bytes of a float32 map.
fn wide(channels: usize, area: Area) -> u64 {
    area.values(channels) as u64 * 4
}

/// Weights of a convolution.
fn weights(shape: ConvolutionShape) -> u64 {
    (shape.inputs * shape.outputs * shape.geometry.taps()) as u64
}

/// Bytes of a copy of this many weights that is made for one operation.
fn packed(weights: u64, precision: Precision) -> u64 {
    if weights > KEPT as u64 { weights * precision.bytes() } else { 0 }
}

/// Bytes of a weight gradient's sums: at most one set for each tile of pixels, and those that are added up first.
fn sums(weights: u64, pixels: usize) -> u64 {
    let sets = (weights * pixels.div_ceil(PIXELS) as u64).min(SUMS as u64);
    4 * (weights.max(sets) + if sets > weights { weights } else { 0 })
}
