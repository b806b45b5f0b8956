//! The arithmetic on any device, by burn's tensors: what a graphics device runs. Maps are in the chosen precision, and so
//! are convolutions where the device has matrix units for it; statistics, losses and all sums over pixels are float32.
//! On a graphics device, what lies between the convolutions is done by kernels of our own (`fused`).

mod bytes;
#[cfg(not(feature = "graphics"))]
#[path = "tensors/absent.rs"]
mod fused;
#[cfg(feature = "graphics")]
mod fused;
mod half;
mod norm;

use std::ops::Range;

use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::module::{
    conv2d, conv2d_weight_backward, max_pool2d, max_pool2d_with_indices, max_pool2d_with_indices_backward,
};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Tensor};
use pipeline_contract::{Result, StageError};
use pipeline_kernels::{AdamStep, Area};

pub(crate) use self::bytes::every_pixel;
pub(crate) use self::norm::Moments;
use super::{Arithmetic, Images, Input, Map, Pass, Precision};
use crate::device::{self, device_memory, has_matrix_units};
use crate::loss::Loss;
use crate::memory::Tried;
use crate::network::{Convolution, Head, Norm, State, Upsample, upload};

/// A device's arithmetic over a network's tensors.
pub(crate) struct Tensors<'a> {
    pub state: &'a mut State,
    /// The window's sums, in the order of the trained tensors; empty where no backward pass is made.
    pub gradients: &'a mut [Tensor<1>],
    /// The losses of the samples, a tensor per micro-batch, still on the device.
    pub losses: Vec<Tensor<1>>,
    pub precision: Precision,
}

type Done = Tried<()>;

/// A map with the norm and ReLU through which it is read: mean and inverse deviation `[batch, channels]`, scale and shift `[channels]`.
#[derive(Clone)]
struct Normed {
    map: Tensor<4>,
    mean: Tensor<2>,
    inverse: Tensor<2>,
    scale: Tensor<1>,
    shift: Tensor<1>,
}

/// A map as a layer reads it.
#[expect(clippy::large_enum_variant, reason = "one at a time, for the length of a call")]
enum Read {
    Normed(Normed),
    Plain(Tensor<4>),
}

/// The type of burn for a precision.
pub(crate) fn dtype(precision: Precision) -> DType {
    match precision {
        Precision::Float32 => DType::F32,
        Precision::Float16 => DType::F16,
        Precision::BFloat16 => DType::BF16,
    }
}

/// A step of Adam in one pass over weights and running means, which are given back: where a device has a kernel for it.
pub(crate) fn adam(
    step: &AdamStep,
    weight: Tensor<1>,
    gradient: Tensor<1>,
    means: [Tensor<1>; 2],
) -> Result<(Tensor<1>, [Tensor<1>; 2])> {
    fused::adam(step, weight, gradient, means)
}

/// Sums of squares of gradients, as many for each: `[gradients * n]`.
pub(crate) fn squares(gradients: &[Tensor<1>]) -> Result<Option<Tensor<1>>> {
    let Some(first) = gradients.first() else { return Ok(None) };
    if fused::runs(&first.device()) {
        return fused::squares(gradients);
    }
    Ok(Some(Tensor::cat(gradients.iter().map(|gradient| (gradient.clone() * gradient.clone()).sum()).collect(), 0)))
}

/// Whether the tensors of a device are for our own kernels.
pub(crate) fn is_fused(device: &Device) -> bool {
    fused::runs(device)
}

fn same() -> ConvOptions<2> {
    ConvOptions::new([1, 1], [1, 1], [1, 1], 1)
}

fn halving() -> MaxPoolOptions<2> {
    MaxPoolOptions::new([2, 2]).with_stride([2, 2])
}

impl Tensors<'_> {
    fn device(&self) -> Device {
        self.state.device().clone()
    }

    /// A tensor in the precision of the maps.
    fn narrow<const D: usize>(&self, tensor: Tensor<D>) -> Tensor<D> {
        match self.precision {
            Precision::Float32 => tensor,
            precision => tensor.cast(dtype(precision)),
        }
    }

    fn weight<const D: usize>(&self, slot: usize, shape: [usize; D]) -> Tensor<D> {
        self.narrow(self.float32_weight(slot, shape))
    }

    fn float32_weight<const D: usize>(&self, slot: usize, shape: [usize; D]) -> Tensor<D> {
        self.state.trained[slot].clone().reshape(shape)
    }

    /// Adds to the window's sum of a slot, in float32.
    fn gather<const D: usize>(&mut self, slot: usize, gradient: Tensor<D>) -> Done {
        let length = gradient.shape().num_elements();
        let gradient = wide(gradient.reshape([length]));
        let missing = || StageError::new("a backward pass without a place for its gradients");
        self.gradients.get_mut(slot).ok_or_else(missing)?.inplace(|sum| sum + gradient);
        Ok(())
    }

    /// A 3 x 3 convolution with weights in float32.
    fn convolved(&self, input: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
        if self.only_stores_half() { half::convolve(input, weight) } else { conv2d(input, self.narrow(weight), None, same()) }
    }

    /// Whether half precision is only how maps are stored, and arithmetic on them is float32.
    fn only_stores_half(&self) -> bool {
        self.precision != Precision::Float32 && !has_matrix_units(self.state.device(), self.precision)
    }

    /// Whether this device is for our own kernels.
    fn fused(&self) -> bool {
        is_fused(self.state.device())
    }

    fn normed(&self, map: &Tensor<4>, norm: &Norm, moments: &Moments) -> Normed {
        let Moments { mean, inverse } = moments.clone();
        let trained = |slot: usize| self.state.trained[slot].clone();
        Normed { map: map.clone(), mean, inverse, scale: trained(norm.scale), shift: trained(norm.shift) }
    }

    fn read(&self, input: &Input<'_, Self>) -> Read {
        match input.norm {
            None => Read::Plain(input.map.data.clone()),
            Some((norm, moments)) => Read::Normed(self.normed(&input.map.data, norm, moments)),
        }
    }

    /// An input as a tensor: norm and ReLU applied.
    fn activated(&self, read: Read) -> Tried<Tensor<4>> {
        Ok(match read {
            Read::Plain(map) => map,
            Read::Normed(normed) if self.fused() => fused::activate(normed)?,
            Read::Normed(normed) => {
                let (scale, shift) = norm::affine(&normed);
                match self.only_stores_half() {
                    true => half::activate(normed.map, &scale, &shift),
                    false => relu(normed.map * self.narrow(scale) + self.narrow(shift)),
                }
            }
        })
    }

    /// Several inputs as one tensor, side by side.
    fn joined(&self, inputs: &[Input<'_, Self>]) -> Tried<Tensor<4>> {
        let maps = inputs.iter().map(|input| self.activated(self.read(input)));
        Ok(Tensor::cat(maps.collect::<Tried<_>>()?, 1))
    }

    /// An upsampling's weights for maps with their channels last: `[inputs, 4 * outputs]`, the outputs of a window's pixels one after the
    /// other.
    fn window_weights(&self, layer: &Upsample) -> Tensor<2> {
        let &Upsample { inputs, outputs, .. } = layer;
        self.weight(layer.weight, [inputs, outputs, 4]).swap_dims(1, 2).reshape([inputs, 4 * outputs])
    }
}

/// Makes a map anew from itself: in place, where the work can.
fn replace(data: &mut Tensor<4>, work: impl FnOnce(Tensor<4>) -> Tried<Tensor<4>>) -> Done {
    let mut done = Ok(());
    data.inplace(|tensor| {
        let device = tensor.device();
        work(tensor).unwrap_or_else(|fault| {
            done = Err(fault);
            Tensor::empty([1; 4], &device)
        })
    });
    done
}

/// A map's pixels, a row of channels each: `[batch * height * width, channels]`.
fn rows(map: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = map.dims();
    map.permute([0, 2, 3, 1]).reshape([batch * height * width, channels])
}

/// A tensor in float32.
pub(crate) fn wide<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if tensor.dtype() == DType::F32 { tensor } else { tensor.cast(DType::F32) }
}

/// `[batch, outputs, 2 height, 2 width]` to `[batch, outputs * 4, height * width]`, the four pixels of a window as channels.
fn windows(upstream: Tensor<4>) -> Tensor<3> {
    let [batch, outputs, height, width] = upstream.dims();
    let (height, width) = (height / 2, width / 2);
    let blocks = upstream.reshape([batch * outputs, height, 2, width, 2]).permute([0, 2, 4, 1, 3]);
    blocks.reshape([batch, outputs * 4, height * width])
}

fn flat(map: Tensor<4>) -> Tensor<3> {
    let [batch, channels, height, width] = map.dims();
    map.reshape([batch, channels, height * width])
}

impl Arithmetic for Tensors<'_> {
    type Data = Tensor<4>;
    type Moments = Moments;

    fn device_memory(&self) -> Option<(u64, u64)> {
        device_memory(self.state.device())
    }

    fn images(&mut self, images: Images<'_>, area: Area) -> Tried<Tensor<4>> {
        let Area { batch, height, width } = area;
        match images {
            Images::Pixels(pixels, normalization) => {
                super::kernels::fit(pixels.len(), area)?;
                Ok(bytes::images(pixels, normalization, area, self.precision, &self.device()))
            }
            Images::Planes(_) => {
                let planes = super::kernels::planes(images, area)?;
                Ok(self.narrow(upload(planes, &self.device()).reshape([batch, 3, height, width])))
            }
        }
    }

    fn convolve(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], _: Area) -> Tried<Tensor<4>> {
        let weight = self.float32_weight(layer.weight, [layer.outputs, layer.inputs, 3, 3]);
        // What several inputs come to is added up: side by side they would be the largest map of all, twice as large as any other.
        let (mut sum, mut before) = (None, 0);
        for input in inputs {
            let channels = input.map.channels;
            let weight = weight.clone().narrow(1, before, channels);
            before += channels;
            let made = self.convolved(self.activated(self.read(input))?, weight);
            sum = Some(match sum.take() {
                Some(sum) => sum + made,
                None => made,
            });
        }
        Ok(sum.ok_or_else(|| StageError::new("a convolution without inputs"))?)
    }

    fn convolve_weight(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], upstream: &Map<Tensor<4>>) -> Tried<()> {
        let upstream = upstream.data.clone();
        let gradient = match self.precision {
            _ if self.fused() => fused::convolve_weight(inputs.iter().map(|input| self.read(input)).collect(), upstream)?,
            Precision::Float32 => {
                let weight = self.weight(layer.weight, [layer.outputs, layer.inputs, 3, 3]);
                conv2d_weight_backward(self.joined(inputs)?, weight, upstream, same())
            }
            _ => half::weight_gradient(self.joined(inputs)?, upstream),
        };
        self.gather(layer.weight, gradient)
    }

    fn convolve_input(&mut self, layer: &Convolution, upstream: &Map<Tensor<4>>, wanted: Range<usize>) -> Tried<Tensor<4>> {
        // A convolution with the kernel turned by 180 degrees and transposed.
        let weight = self.float32_weight(layer.weight, [layer.outputs, layer.inputs, 3, 3]);
        let weight = weight.narrow(1, wanted.start, wanted.len()).swap_dims(0, 1).flip([2, 3]);
        Ok(self.convolved(upstream.data.clone(), weight))
    }

    fn moments(&mut self, norm: &Norm, x: &Map<Tensor<4>>, pass: Pass) -> Tried<Moments> {
        norm::moments(self.state, norm, x.data.clone(), pass)
    }

    fn norm_input(&mut self, norm: &Norm, x: &Map<Tensor<4>>, moments: &Moments, upstream: &mut Map<Tensor<4>>) -> Tried<()> {
        let normed = self.normed(&x.data, norm, moments);
        let mut sums = None;
        replace(&mut upstream.data, |upstream| {
            let made =
                if self.fused() { fused::norm_input(norm, normed, upstream)? } else { norm::input(norm, normed, upstream) };
            sums = Some((made.shift, made.scale));
            Ok(self.narrow(made.input))
        })?;
        let (shift, scale) = sums.ok_or_else(|| StageError::new("a norm without gradients"))?;
        self.gather(norm.shift, shift)?;
        self.gather(norm.scale, scale)
    }

    fn pool(&mut self, input: Input<'_, Self>) -> Tried<Tensor<4>> {
        Ok(match self.read(&input) {
            Read::Normed(normed) if self.fused() => fused::pool(normed)?,
            read => max_pool2d(self.activated(read)?, halving()),
        })
    }

    fn pool_input(&mut self, input: Input<'_, Self>, upstream: &Map<Tensor<4>>, sum: &mut Map<Tensor<4>>) -> Done {
        let upstream = upstream.data.clone();
        match self.read(&input) {
            Read::Normed(normed) if self.fused() => replace(&mut sum.data, |sum| Ok(fused::pool_input(normed, upstream, sum)?)),
            read => {
                let x = self.activated(read)?;
                let (_, indices) = max_pool2d_with_indices(x.clone(), halving());
                let gradient = max_pool2d_with_indices_backward(x, [2, 2], [2, 2], [0, 0], [1, 1], false, upstream, indices);
                sum.data.inplace(|sum| sum + gradient);
                Ok(())
            }
        }
    }

    fn upsample(&mut self, layer: &Upsample, input: Input<'_, Self>) -> Tried<Tensor<4>> {
        let &Upsample { inputs, outputs, .. } = layer;
        let Area { batch, height, width } = input.map.area;
        let x = self.activated(self.read(&input))?;
        if self.fused() {
            let blocks = rows(x).matmul(self.window_weights(layer));
            let bias = self.state.trained[layer.bias].clone();
            return Ok(fused::upsample(blocks, bias, [batch, outputs, height, width])?);
        }
        let matrix = self.weight(layer.weight, [1, inputs, outputs * 4]);
        let blocks = matrix.transpose().matmul(flat(x));
        let blocks = blocks.reshape([batch * outputs, 2, 2, height, width]).permute([0, 3, 1, 4, 2]);
        let y = blocks.reshape([batch, outputs, 2 * height, 2 * width]);
        Ok(y + self.weight(layer.bias, [1, outputs, 1, 1]))
    }

    fn upsample_weight(&mut self, layer: &Upsample, input: Input<'_, Self>, upstream: &Map<Tensor<4>>) -> Done {
        let &Upsample { inputs, outputs, .. } = layer;
        let upstream = upstream.data.clone();
        let x = self.activated(self.read(&input))?;
        if self.fused() {
            self.gather(layer.bias, fused::upsample_bias(upstream.clone())?)?;
            let gradient = fused::upsample_weight(x, fused::windows(upstream)?)?;
            return self.gather(layer.weight, gradient.reshape([inputs, 4, outputs]).swap_dims(1, 2));
        }
        let [batch, outputs, height, width] = upstream.dims();
        let sums = wide(upstream.clone()).reshape([batch, outputs, height * width]).sum_dim(2).sum_dim(0);
        self.gather(layer.bias, sums)?;
        let gradient = flat(x).matmul(windows(upstream).transpose());
        self.gather(layer.weight, wide(gradient).sum_dim(0))
    }

    fn upsample_input(&mut self, layer: &Upsample, upstream: &Map<Tensor<4>>) -> Tried<Tensor<4>> {
        let [batch, _, height, width] = upstream.data.dims();
        let upstream = upstream.data.clone();
        if self.fused() {
            let pixels = fused::windows(upstream)?.matmul(self.window_weights(layer).transpose());
            return Ok(pixels.reshape([batch, height / 2, width / 2, layer.inputs]).permute([0, 3, 1, 2]));
        }
        let matrix = self.weight(layer.weight, [1, layer.inputs, layer.outputs * 4]);
        let pixels = matrix.matmul(windows(upstream));
        Ok(pixels.reshape([batch, layer.inputs, height / 2, width / 2]))
    }

    fn head(&mut self, layer: &Head, input: Input<'_, Self>) -> Tried<Tensor<4>> {
        let Area { batch, height, width } = input.map.area;
        let bias = self.state.trained[layer.bias].clone();
        Ok(match self.read(&input) {
            Read::Normed(normed) if self.fused() => {
                fused::head(normed, self.float32_weight(layer.weight, [layer.outputs, layer.inputs]), bias)?
            }
            read => {
                let matrix = self.weight(layer.weight, [1, layer.outputs, layer.inputs]);
                let y = wide(matrix.matmul(flat(self.activated(read)?)));
                y.reshape([batch, layer.outputs, height, width]) + bias.reshape([1, layer.outputs, 1, 1])
            }
        })
    }

    fn head_weight(&mut self, layer: &Head, input: Input<'_, Self>, upstream: &Map<Tensor<4>>) -> Done {
        let upstream = upstream.data.clone();
        match self.read(&input) {
            Read::Normed(normed) if self.fused() => {
                self.gather(layer.bias, fused::head_bias(upstream.clone())?)?;
                self.gather(layer.weight, fused::head_weight(normed, upstream)?)
            }
            read => {
                let pixels = flat(upstream);
                self.gather(layer.bias, pixels.clone().sum_dim(2).sum_dim(0))?;
                let gradient = self.narrow(pixels).matmul(flat(self.activated(read)?).transpose());
                self.gather(layer.weight, wide(gradient).sum_dim(0))
            }
        }
    }

    fn head_input(&mut self, layer: &Head, upstream: &Map<Tensor<4>>) -> Tried<Tensor<4>> {
        let [batch, _, height, width] = upstream.data.dims();
        let upstream = upstream.data.clone();
        if self.fused() {
            let weight = self.float32_weight(layer.weight, [layer.outputs, layer.inputs]);
            return Ok(fused::head_input(weight, upstream, dtype(self.precision))?);
        }
        let matrix = self.weight(layer.weight, [1, layer.outputs, layer.inputs]);
        let made = matrix.transpose().matmul(self.narrow(flat(upstream)));
        Ok(made.reshape([batch, layer.inputs, height, width]))
    }

    fn loss(&mut self, loss: Loss, logits: &mut Map<Tensor<4>>, masks: &[u8], scale: f32) -> Done {
        let Area { batch, height, width } = logits.area;
        let masks = bytes::masks(masks, &self.device()).reshape([batch, height * width]);
        let mut losses = None;
        replace(&mut logits.data, |logits| {
            let z = logits.reshape([batch, height * width]);
            let (samples, gradient) = if self.fused() {
                fused::loss(loss, z, masks, scale)?
            } else {
                let p = sigmoid(z.clone());
                let (samples, gradient) = loss.evaluate(z, &masks, p);
                (samples.reshape([batch]), gradient * scale)
            };
            losses = Some(samples);
            Ok(gradient.reshape([batch, 1, height, width]))
        })?;
        self.losses.extend(losses);
        Ok(())
    }

    fn zeros(&mut self, channels: usize, area: Area) -> Tried<Tensor<4>> {
        let Area { batch, height, width } = area;
        // Channels last in memory, as convolutions give it.
        let zeros = Tensor::zeros([batch, height, width, channels], (&self.device(), dtype(self.precision)));
        Ok(zeros.permute([0, 3, 1, 2]))
    }

    fn add(&mut self, sum: &mut Map<Tensor<4>>, other: &Map<Tensor<4>>) -> Done {
        let other = other.data.clone();
        sum.data.inplace(|sum| sum + other);
        Ok(())
    }

    fn squares(&mut self, input: Input<'_, Self>) -> Tried<f64> {
        // In the host's memory: float32 doesn't hold the squares of what is about to overflow, and compilers of graphics
        // devices may take it that nothing is infinite.
        let squares = |tensor: Tensor<4>| match tensor.try_into_vec_as::<f32>() {
            Ok(values) => Ok(super::kernels::squares(&values)),
            Err(error) => Err(device::failed(&format!("{error:?}"))),
        };
        let norm = match input.norm {
            None => 0.0,
            Some((norm, moments)) => {
                let (scale, shift) = norm::affine(&self.normed(&input.map.data, norm, moments));
                squares(scale)? + squares(shift)?
            }
        };
        let sum = squares(input.map.data.clone())?;
        Ok(if norm.is_finite() { sum } else { norm })
    }
}
