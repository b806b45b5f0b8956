//! What the CPU's operations take besides their inputs and results.

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
    /// Images become floats as they are copied.
    fn images(&self, _: Precision, _: Area) -> Scratch {
        Scratch::NONE
    }

    fn convolution(&self, _: Precision, call: ConvolutionCall) -> Scratch {
        floats(convolution(call))
    }

    fn transposed(&self, _: Precision, _: TransposedCall, layer: &TransposedConvolution, area: Area) -> Scratch {
        floats(transposed(layer, area))
    }

    fn loss(&self, _: &Loss, _: Area) -> Scratch {
        Scratch::NONE
    }
}

/// Scratch memory of so many float32 values.
fn floats(count: usize) -> Scratch {
    Scratch::bytes((count * size_of::<f32>()) as u64)
}

/// float32 values of a convolution's workspace.
pub(super) fn convolution(call: ConvolutionCall) -> usize {
    match call {
        ConvolutionCall::Forward { inputs, outputs, area, .. } => kernels::convolve_workspace(inputs, outputs, area),
        ConvolutionCall::Weight { inputs, outputs, area } => kernels::convolve_weight_gradient_workspace(inputs, outputs, area),
        ConvolutionCall::Input { wanted, outputs, area } => kernels::convolve_input_gradient_workspace(outputs, wanted, area),
    }
}

/// float32 values of a transposed convolution's workspace, in any direction.
pub(super) fn transposed(layer: &TransposedConvolution, area: Area) -> usize {
    kernels::upsample_workspace(layer.inputs, layer.outputs, area)
}
