//! The backend that computes nothing: its maps have no values. A pass over a network on it only changes the ledger, so a plan is
//! the same walk as a pass.

use std::ops::Range;

use burn::tensor::Tensor;
use pipeline_kernels::{Activation, Area};

use crate::layer::{
    ActivationBackend, Convolution, ConvolutionBackend, ConvolutionCall, Head, HeadBackend, MaxPoolBackend, MeanBackend,
    NearestBackend, NormBackend, NormCall, ProbabilitiesBackend, Running, StoredLogitsBackend, SumBackend, TransposedBackend,
    TransposedCall, TransposedConvolution,
};
use crate::loss::{Loss, LossBackend, Part};
use crate::memory::Tried;
use crate::pass::{Backend, Images, Input, Map, Pass, Scratch, Shape};
use crate::precision::Precision;

/// The memory that a backend's operations need besides their inputs and results.
pub(crate) trait Costs: Sync {
    fn images(&self, precision: Precision, area: Area) -> Scratch;
    /// Bytes of the copy of a convolution's weights, of this many values, that a pass keeps.
    fn kept(&self, _precision: Precision, _values: usize) -> u64 {
        0
    }
    fn convolution(&self, precision: Precision, call: ConvolutionCall) -> Scratch;
    fn transposed(&self, precision: Precision, call: TransposedCall, layer: &TransposedConvolution, area: Area) -> Scratch;
    fn loss(&self, loss: &Loss, classes: usize, area: Area) -> Scratch;
}

/// Counts with the costs of another backend.
#[derive(Clone, Copy)]
pub(crate) struct Counting {
    costs: &'static dyn Costs,
    precision: Precision,
}

impl Counting {
    pub fn new(costs: &'static dyn Costs, precision: Precision) -> Self {
        Self { costs, precision }
    }
}

type Done = Tried<()>;

impl Backend for Counting {
    type Data = ();
    type Statistics = ();

    fn precision(&self) -> Precision {
        self.precision
    }
    fn losses(self) -> Vec<Tensor<1>> {
        Vec::new()
    }
    fn values(&mut self, _: Map<()>) -> Tried<Vec<f32>> {
        Ok(Vec::new())
    }
    fn kept(&self, values: usize) -> u64 {
        self.costs.kept(self.precision, values)
    }
    fn images(&mut self, _: Images<'_>, _: Area) -> Done {
        Ok(())
    }
    fn images_scratch(&self, area: Area) -> Scratch {
        self.costs.images(self.precision, area)
    }
    fn zeros(&mut self, _: usize, _: Area, _: Precision) -> Done {
        Ok(())
    }
    fn add(&mut self, _: &mut Map<()>, _: &Map<()>) -> Done {
        Ok(())
    }
    fn squares(&mut self, _: &Map<()>) -> Tried<f64> {
        Ok(0.0)
    }
    fn norm_squares(&mut self, (): &()) -> Tried<f64> {
        Ok(0.0)
    }
}

impl ConvolutionBackend for Counting {
    fn convolve(&mut self, _: &Convolution, _: &[Input<'_, Self>], _: Area) -> Done {
        Ok(())
    }
    fn convolve_weight(&mut self, _: &Convolution, _: &[Input<'_, Self>], _: &Map<()>) -> Done {
        Ok(())
    }
    fn convolve_input(&mut self, _: &Convolution, _: &Map<()>, _: Range<usize>, _: Area) -> Done {
        Ok(())
    }
    fn convolve_scratch(&self, call: ConvolutionCall) -> Scratch {
        self.costs.convolution(self.precision, call)
    }
}

impl TransposedBackend for Counting {
    fn upsample(&mut self, _: &TransposedConvolution, _: Input<'_, Self>) -> Done {
        Ok(())
    }
    fn upsample_weight(&mut self, _: &TransposedConvolution, _: Input<'_, Self>, _: &Map<()>) -> Done {
        Ok(())
    }
    fn upsample_input(&mut self, _: &TransposedConvolution, _: &Map<()>) -> Done {
        Ok(())
    }
    fn upsample_scratch(&self, call: TransposedCall, layer: &TransposedConvolution, area: Area) -> Scratch {
        self.costs.transposed(self.precision, call, layer, area)
    }
}

impl ActivationBackend for Counting {
    fn activation_gradient(&mut self, _: Activation, _: &Map<()>, _: &mut Map<()>) -> Done {
        Ok(())
    }
}

impl SumBackend for Counting {
    fn sum(&mut self, _: &[Input<'_, Self>], _: Activation, _: Option<()>, _: Shape) -> Done {
        Ok(())
    }
    fn copy(&mut self, _: &Map<()>) -> Done {
        Ok(())
    }
}

impl NearestBackend for Counting {
    fn nearest(&mut self, _: Input<'_, Self>) -> Done {
        Ok(())
    }
    fn nearest_input(&mut self, _: &Map<()>, _: Area) -> Done {
        Ok(())
    }
}

impl ProbabilitiesBackend for Counting {
    fn probabilities(&mut self, _: &Map<()>) -> Done {
        Ok(())
    }
    fn probabilities_input(&mut self, _: &Map<()>, _: &Map<()>, _: &mut Map<()>) -> Done {
        Ok(())
    }
}

impl StoredLogitsBackend for Counting {
    fn stored(&mut self, _: &Map<()>) -> Done {
        Ok(())
    }
    fn stored_input(&mut self, _: &Map<()>, _: &mut Map<()>) -> Done {
        Ok(())
    }
}

impl MeanBackend for Counting {
    fn scaled_sum(&mut self, _: &[&Map<()>], _: f32) -> Done {
        Ok(())
    }
}

impl MaxPoolBackend for Counting {
    fn pool(&mut self, _: Input<'_, Self>) -> Done {
        Ok(())
    }
    fn pool_input(&mut self, _: Input<'_, Self>, _: &Map<()>, _: &mut Map<()>) -> Done {
        Ok(())
    }
}

impl HeadBackend for Counting {
    fn head(&mut self, _: &Head, _: Input<'_, Self>) -> Done {
        Ok(())
    }
    fn head_weight(&mut self, _: &Head, _: Input<'_, Self>, _: &Map<()>) -> Done {
        Ok(())
    }
    fn head_input(&mut self, _: &Head, _: &Map<()>) -> Done {
        Ok(())
    }
}

impl NormBackend for Counting {
    type Partial = ();
    type Merged = ();

    fn partial(&mut self, _: &Map<()>) -> Done {
        Ok(())
    }
    fn merge(&mut self, _: &NormCall<'_, Self>, _: Vec<()>) -> Done {
        Ok(())
    }
    fn finish(&mut self, _: &NormCall<'_, Self>, (): (), _: Pass) -> Done {
        Ok(())
    }
    fn running(&mut self, _: &NormCall<'_, Self>, _: &Running) -> Done {
        Ok(())
    }
    fn norm_gradient(&mut self, _: &NormCall<'_, Self>, (): &(), _: &mut [Map<()>]) -> Done {
        Ok(())
    }
}

impl LossBackend for Counting {
    fn loss(&mut self, _: &Loss, _: &mut Map<()>, _: &[u8], _: f32, _: Part) -> Done {
        Ok(())
    }
    fn loss_scratch(&self, loss: &Loss, classes: usize, area: Area) -> Scratch {
        self.costs.loss(loss, classes, area)
    }
}
