//! The arithmetic on the CPU, by our own kernels: maps are plain vectors in the chosen precision, the norm and ReLU of an
//! input are applied while it is read, and no operation allocates more than its output and its workspace.

mod norm;
mod values;

use std::ops::Range;

use burn::tensor::Tensor;
use pipeline_contract::StageError;
use pipeline_kernels as kernels;
use pipeline_kernels::{Area, View};

use self::norm::Moments;
use self::values::{Store, Values, zeros};
pub(super) use self::values::{fit, planes, squares, tables, with};
use super::{Arithmetic, Images, Input, Map, Operation, Pass, Precision, read, write};
use crate::loss::Loss;
use crate::memory::Tried;
use crate::network::{Convolution, Head, Norm, State, Upsample};

/// The CPU's arithmetic over a network's tensors.
pub(crate) struct Kernels<'a> {
    pub state: &'a mut State,
    /// The window's sums, in the order of the trained tensors; empty where no backward pass is made.
    pub gradients: &'a mut [Tensor<1>],
    /// The losses of the samples, in order.
    pub losses: Vec<f32>,
    pub precision: Precision,
}

type Done = Tried<()>;

impl Kernels<'_> {
    fn weight<T>(&self, slot: usize, work: impl FnOnce(&[f32]) -> T) -> Result<T, StageError> {
        read(&self.state.trained[slot], work)
    }

    fn gradient<T>(&mut self, slot: usize, work: impl FnOnce(&mut [f32]) -> T) -> Result<T, StageError> {
        match self.gradients.get_mut(slot) {
            Some(gradient) => write(gradient, work),
            None => Err(StageError::new("a backward pass without a place for its gradients")),
        }
    }
}

fn view<'a, E: Store>(input: &Input<'a, Kernels<'_>>) -> View<'a, E> {
    View {
        values: E::of(&input.map.data),
        channels: input.map.channels,
        affine: input.norm.map(|(_, moments)| moments.affine.as_slice()),
    }
}

fn views<'a, E: Store>(inputs: &[Input<'a, Kernels<'_>>]) -> Vec<View<'a, E>> {
    inputs.iter().map(view).collect()
}

fn workspace(operation: Operation) -> Tried<Vec<f32>> {
    zeros(operation.workspace())
}

impl Arithmetic for Kernels<'_> {
    type Data = Values;
    type Moments = Moments;

    fn images(&mut self, images: Images<'_>, area: Area) -> Tried<Values> {
        Ok(with!(self.precision, E => E::wrap(planes::<E>(images, area)?)))
    }

    fn convolve(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], area: Area) -> Tried<Values> {
        let (inputs_count, outputs) = (layer.inputs, layer.outputs);
        let mut space = workspace(Operation::Convolve { inputs: inputs_count, outputs, area, parts: inputs.len(), copied: 0 })?;
        let made = with!(self.precision, E => {
            let mut out = zeros(area.values(outputs))?;
            let views = views::<E>(inputs);
            self.weight(layer.weight, |weight| kernels::convolve(&views, weight, outputs, area, &mut out, &mut space))?;
            E::wrap(out)
        });
        Ok(made)
    }

    fn convolve_weight(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], upstream: &Map<Values>) -> Done {
        let (area, outputs) = (upstream.area, layer.outputs);
        let mut space = workspace(Operation::ConvolveWeight { inputs: layer.inputs, outputs, area })?;
        with!(self.precision, E => {
            let (views, upstream) = (views::<E>(inputs), E::of(&upstream.data));
            self.gradient(layer.weight, |gradient| {
                kernels::convolve_weight_gradient(&views, upstream, outputs, area, gradient, &mut space);
            })?;
        });
        Ok(())
    }

    fn convolve_input(&mut self, layer: &Convolution, upstream: &Map<Values>, wanted: Range<usize>) -> Tried<Values> {
        let (area, &Convolution { inputs, outputs, .. }) = (upstream.area, layer);
        let mut space = workspace(Operation::ConvolveInput { wanted: wanted.len(), outputs, area })?;
        let made = with!(self.precision, E => {
            let mut out = zeros(area.values(wanted.len()))?;
            let upstream = E::of(&upstream.data);
            self.weight(layer.weight, |weight| {
                kernels::convolve_input_gradient(upstream, weight, outputs, inputs, wanted, area, &mut out, &mut space);
            })?;
            E::wrap(out)
        });
        Ok(made)
    }

    fn moments(&mut self, norm: &Norm, x: &Map<Values>, pass: Pass) -> Tried<Moments> {
        Ok(norm::moments(self.state, norm, x, pass)?)
    }

    fn norm_input(&mut self, norm: &Norm, x: &Map<Values>, moments: &Moments, upstream: &mut Map<Values>) -> Done {
        norm::input(self, norm, x, moments, upstream)
    }

    fn pool(&mut self, input: Input<'_, Self>) -> Tried<Values> {
        let area = input.map.area;
        Ok(with!(self.precision, E => {
            let mut out = zeros(area.values(input.map.channels) / 4)?;
            kernels::pool(view::<E>(&input), area, &mut out);
            E::wrap(out)
        }))
    }

    fn pool_input(&mut self, input: Input<'_, Self>, upstream: &Map<Values>, sum: &mut Map<Values>) -> Done {
        let area = input.map.area;
        with!(self.precision, E => {
            kernels::pool_gradient(view::<E>(&input), E::of(&upstream.data), area, E::of_mut(&mut sum.data));
        });
        Ok(())
    }

    fn upsample(&mut self, layer: &Upsample, input: Input<'_, Self>) -> Tried<Values> {
        let (area, &Upsample { inputs, outputs, .. }) = (input.map.area, layer);
        let mut space = workspace(Operation::Upsample { inputs, outputs, area })?;
        let bias = self.weight(layer.bias, <[f32]>::to_vec)?;
        let made = with!(self.precision, E => {
            let mut out = zeros(4 * area.values(outputs))?;
            self.weight(layer.weight, |weight| {
                kernels::upsample(view::<E>(&input), weight, &bias, area, &mut out, &mut space);
            })?;
            E::wrap(out)
        });
        Ok(made)
    }

    fn upsample_weight(&mut self, layer: &Upsample, input: Input<'_, Self>, upstream: &Map<Values>) -> Done {
        let (area, &Upsample { inputs, outputs, .. }) = (input.map.area, layer);
        let mut space = workspace(Operation::UpsampleWeight { inputs, outputs, area })?;
        let mut bias = vec![0.0; outputs];
        with!(self.precision, E => {
            let (view, upstream) = (view::<E>(&input), E::of(&upstream.data));
            self.gradient(layer.weight, |weight| {
                kernels::upsample_weight_gradient(view, upstream, outputs, area, weight, &mut bias, &mut space);
            })?;
        });
        Ok(self.gradient(layer.bias, |gradient| kernels::add(gradient, &bias))?)
    }

    fn upsample_input(&mut self, layer: &Upsample, upstream: &Map<Values>) -> Tried<Values> {
        let &Upsample { inputs, outputs, .. } = layer;
        let area = Area { height: upstream.area.height / 2, width: upstream.area.width / 2, ..upstream.area };
        let mut space = workspace(Operation::UpsampleInput { inputs, outputs, area })?;
        let made = with!(self.precision, E => {
            let mut out = zeros(area.values(inputs))?;
            let upstream = E::of(&upstream.data);
            self.weight(layer.weight, |weight| {
                kernels::upsample_input_gradient(upstream, weight, inputs, outputs, area, &mut out, &mut space);
            })?;
            E::wrap(out)
        });
        Ok(made)
    }

    fn head(&mut self, layer: &Head, input: Input<'_, Self>) -> Tried<Values> {
        let area = input.map.area;
        let bias = self.weight(layer.bias, <[f32]>::to_vec)?;
        let mut out = zeros(area.values(layer.outputs))?;
        with!(self.precision, E => {
            let view = view::<E>(&input);
            self.weight(layer.weight, |weight| kernels::pointwise(view, weight, &bias, area, &mut out))?;
        });
        Ok(Values::Float32(out))
    }

    fn head_weight(&mut self, layer: &Head, input: Input<'_, Self>, upstream: &Map<Values>) -> Done {
        let (area, outputs) = (upstream.area, layer.outputs);
        let mut bias = vec![0.0; outputs];
        with!(self.precision, E => {
            let (view, upstream) = (view::<E>(&input), f32::of(&upstream.data));
            self.gradient(layer.weight, |weight| {
                kernels::pointwise_weight_gradient(view, upstream, outputs, area, weight, &mut bias);
            })?;
        });
        Ok(self.gradient(layer.bias, |gradient| kernels::add(gradient, &bias))?)
    }

    fn head_input(&mut self, layer: &Head, upstream: &Map<Values>) -> Tried<Values> {
        let (area, &Head { inputs, outputs, .. }) = (upstream.area, layer);
        let made = with!(self.precision, E => {
            let mut out = zeros(area.values(inputs))?;
            let upstream = f32::of(&upstream.data);
            self.weight(layer.weight, |weight| {
                kernels::pointwise_input_gradient(upstream, weight, inputs, outputs, area, &mut out);
            })?;
            E::wrap(out)
        });
        Ok(made)
    }

    fn loss(&mut self, loss: Loss, logits: &mut Map<Values>, masks: &[u8], scale: f32) -> Done {
        let batch = logits.area.batch;
        let mut losses = vec![0.0; batch];
        kernels::loss(loss.kernel(), f32::of_mut(&mut logits.data), masks, batch, scale, &mut losses);
        self.losses.extend(losses);
        Ok(())
    }

    fn zeros(&mut self, channels: usize, area: Area) -> Tried<Values> {
        Ok(with!(self.precision, E => E::wrap(zeros(area.values(channels))?)))
    }

    fn add(&mut self, sum: &mut Map<Values>, other: &Map<Values>) -> Done {
        with!(self.precision, E => values::add(E::of_mut(&mut sum.data), E::of(&other.data)));
        Ok(())
    }

    fn squares(&mut self, input: Input<'_, Self>) -> Tried<f64> {
        let norm = input.norm.map_or(0.0, |(_, moments)| squares(moments.affine.as_flattened()));
        let data = &input.map.data;
        let sum = with!(data.precision(), E => squares(E::of(data)));
        Ok(if norm.is_finite() { sum } else { norm })
    }
}
