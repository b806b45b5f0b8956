//! A graphics device's arithmetic over a network's tensors, on which every layer's file here builds.

use std::cell::OnceCell;

use burn::tensor::{Device, Tensor};
use pipeline_contract::StageError;
use pipeline_kernels::Area;

use super::bytes;
use super::costs::GraphicsCosts;
use super::failure::{failure, guarded};
use super::kernels::{self, Chip, Memory, Packs, Partial, Read, Weight};
use super::statistics::Statistics;
use crate::backend::counting::Costs as _;
use crate::backend::cpu::{fit, planes, squares};
use crate::backend::work::{Site, Work};
use crate::device::{self, device_memory};
use crate::memory::{Ledger, Tried};
use crate::parameters::{Flat, State, upload};
use crate::pass::{Backend, Executor, Images, Input, Map, Scratch};
use crate::precision::Precision;

/// A device's arithmetic over a network's tensors. Maps are in the precision of the pass; convolutions multiply in that precision
/// where the device has matrix units for it, and in float32 elsewhere. Statistics, losses and all sums are float32.
pub(crate) struct Graphics<'a> {
    pub(super) state: &'a mut State,
    gradients: &'a mut [Tensor<1>],
    /// The losses of the samples, one tensor per micro-batch.
    pub(super) losses: Vec<Tensor<1>>,
    pub(super) precision: Precision,
    /// The partial statistics of the map that the last convolution made, and the memory that holds that map.
    pub(super) partial: Option<(Memory, Partial)>,
    /// Copies of weights as the convolutions read them.
    pub(super) packs: Packs,
    chip: OnceCell<Chip>,
    ledger: Ledger,
}

/// Runs a pass on the device.
pub(in crate::backend) fn run<W: Work>(site: Site<'_>, work: W) -> Tried<(W::Output, Vec<Tensor<1>>)> {
    let Site { state, gradients, precision, ledger } = site;
    guarded(&ledger.clone(), || {
        // Sums are changed in place: if somebody else holds them, in a copy.
        *gradients = Flat::of(std::mem::take(gradients)).owned().tensors();
        let backend = Graphics {
            state,
            gradients,
            losses: Vec::new(),
            precision,
            partial: None,
            packs: Packs::default(),
            chip: OnceCell::new(),
            ledger: ledger.clone(),
        };
        let mut e = Executor::new(backend, ledger);
        let output = work.run(&mut e)?;
        Ok((output, e.backend.losses))
    })
}

impl Graphics<'_> {
    pub(super) fn device(&self) -> Device {
        self.state.device().clone()
    }

    /// A tensor in the precision of the maps.
    pub(super) fn narrow<const D: usize>(&self, tensor: Tensor<D>) -> Tensor<D> {
        match self.precision {
            Precision::Float32 | Precision::Tf32 => tensor,
            precision => tensor.cast(precision.dtype()),
        }
    }

    /// A trained tensor, in float32.
    pub(super) fn weight<const D: usize>(&self, slot: usize, shape: [usize; D]) -> Tensor<D> {
        self.state.trained[slot].clone().reshape(shape)
    }

    /// The weights of a convolution, in float32.
    pub(super) fn kernel(&self, slot: usize, shape: [usize; 4]) -> Weight {
        Weight { slot, values: self.weight(slot, shape) }
    }

    /// Adds to the window's sum of a trained tensor, in float32.
    pub(super) fn gather<const D: usize>(&mut self, slot: usize, gradient: Tensor<D>) -> Tried<()> {
        Ok(kernels::accumulate(&self.sum(slot)?, gradient)?)
    }

    /// The window's sum of a trained tensor, for kernels that add to it in place.
    pub(super) fn sum(&self, slot: usize) -> Tried<Tensor<1>> {
        let missing = || StageError::new("a backward pass without a place for its gradients");
        Ok(self.gradients.get(slot).ok_or_else(missing)?.clone())
    }

    /// The device, with its matrix units for the pass's precision if it has any.
    pub(super) fn chip(&self) -> Tried<Chip> {
        let missing = || StageError::new("a network without trained tensors");
        if let Some(chip) = self.chip.get() {
            return Ok(chip.clone());
        }
        let chip = kernels::chip(self.state.trained.first().ok_or_else(missing)?, self.precision)?;
        Ok(self.chip.get_or_init(|| chip).clone())
    }

    /// A map as the kernels read it.
    pub(super) fn read(&self, input: &Input<'_, Self>) -> Read {
        match input.through {
            None => Read::Plain(input.map.data.clone()),
            Some(through) => Read::Normed(through.statistics.normed(through.part, &input.map.data)),
        }
    }

    /// An input as a tensor, with norm and activation applied.
    pub(super) fn activated(&self, read: Read) -> Tried<Tensor<4>> {
        Ok(match read {
            Read::Plain(map) => map,
            Read::Normed(normed) => kernels::activate(normed)?,
        })
    }

    /// A tensor's values in host memory. A device works asynchronously, so it may only report here that it ran out of memory for
    /// the operations that computed the tensor.
    pub(super) fn download<const D: usize>(&self, tensor: Tensor<D>) -> Tried<Vec<f32>> {
        tensor.try_into_vec_as().map_err(|error| failure(&self.ledger, &format!("{error:?}")))
    }
}

impl Backend for Graphics<'_> {
    type Data = Tensor<4>;
    type Statistics = Statistics;

    fn precision(&self) -> Precision {
        self.precision
    }

    fn device_memory(&self) -> Option<(u64, u64)> {
        device_memory(self.state.device())
    }

    fn losses(self) -> Vec<Tensor<1>> {
        self.losses
    }

    fn values(&mut self, map: Map<Tensor<4>>) -> Tried<Vec<f32>> {
        self.download(map.data)
    }

    fn kept(&self, values: usize) -> u64 {
        GraphicsCosts.kept(self.precision, values)
    }

    fn images(&mut self, images: Images<'_>, area: Area) -> Tried<Tensor<4>> {
        let Area { batch, height, width } = area;
        match images {
            Images::Pixels(pixels, normalization) => {
                fit(pixels.len(), area)?;
                Ok(bytes::images(pixels, normalization, area, self.precision, &self.device())?)
            }
            Images::Planes(_) => {
                let planes = planes(images, area)?;
                Ok(self.narrow(upload(planes, &self.device()).reshape([batch, 3, height, width])))
            }
        }
    }

    fn images_scratch(&self, area: Area) -> Scratch {
        GraphicsCosts.images(self.precision, area)
    }

    fn zeros(&mut self, channels: usize, area: Area, precision: Precision) -> Tried<Tensor<4>> {
        let Area { batch, height, width } = area;
        // Channels last in memory, as convolutions return it.
        let zeros = Tensor::zeros([batch, height, width, channels], (&self.device(), precision.dtype()));
        Ok(zeros.permute([0, 3, 1, 2]))
    }

    fn add(&mut self, sum: &mut Map<Tensor<4>>, other: &Map<Tensor<4>>) -> Tried<()> {
        let other = other.data.clone();
        sum.data.inplace(|sum| sum + other);
        Ok(())
    }

    fn squares(&mut self, map: &Map<Tensor<4>>) -> Tried<f64> {
        // In host memory: float32 can't hold the squares of values that are about to overflow, and compilers for graphics devices
        // may assume that nothing is infinite.
        match map.data.clone().try_into_vec_as::<f32>() {
            Ok(values) => Ok(squares(&values)),
            Err(error) => Err(device::failed(&format!("{error:?}")).into()),
        }
    }

    fn norm_squares(&mut self, statistics: &Statistics) -> Tried<f64> {
        let values = statistics.affine().into_iter().map(|tensor| self.download(tensor));
        Ok(values.collect::<Tried<Vec<_>>>()?.iter().map(|values| squares(values)).sum())
    }
}
