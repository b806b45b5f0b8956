//! The memory that the CPU's operations need besides their inputs and results.

use pipeline_kernels as kernels;
use pipeline_kernels::Area;

use crate::backend::counting::Costs;
use crate::layer::{ConvolutionCall, TransposedCall, TransposedConvolution};
use crate::loss::Loss;
use crate::pass::Scratch;
use crate::precision::Precision;

/// The costs of the CPU's operations.
pub(crate) struct CpuCosts;

impl Costs for CpuCosts {
    /// Images are converted to floats while they are copied.
    fn images(&self, _: Precision, _: Area) -> Scratch {
        Scratch::NONE
    }

    fn convolution(&self, _: Precision, call: ConvolutionCall) -> Scratch {
        floats(convolution(call))
    }

    fn transposed(&self, _: Precision, _: TransposedCall, layer: &TransposedConvolution, area: Area) -> Scratch {
        floats(transposed(layer, area))
    }

    fn loss(&self, loss: &Loss, classes: usize, area: Area) -> Scratch {
        floats(kernels::loss_workspace(&loss.terms, classes, area))
    }
}

/// Scratch memory for this many float32 values.
fn floats(count: usize) -> Scratch {
    Scratch::bytes((count * size_of::<f32>()) as u64)
}

/// Workspace of a convolution, in float32 values.
pub(super) fn convolution(call: ConvolutionCall) -> usize {
    match call {
        ConvolutionCall::Forward { shape } => kernels::convolve_workspace(shape),
        ConvolutionCall::Weight { shape } => kernels::convolve_weight_gradient_workspace(shape),
        ConvolutionCall::Input { shape, wanted } => kernels::convolve_input_gradient_workspace(shape, wanted),
    }
}

/// Workspace of a transposed convolution, forward or backward, in float32 values.
pub(super) fn transposed(layer: &TransposedConvolution, area: Area) -> usize {
    kernels::upsample_workspace(layer.inputs, layer.outputs, area)
}
