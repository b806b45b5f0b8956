//! The CPU's arithmetic over a network's tensors, on which every layer's file here builds.

use burn::tensor::Tensor;
use pipeline_contract::StageError;
use pipeline_kernels::{Area, View};

use super::host::{read, write};
use super::statistics::Statistics;
use super::values::{self, Store, Values, with, zeros};
use crate::backend::work::{Site, Work};
use crate::memory::Tried;
use crate::parameters::{State, upload};
use crate::pass::{Backend, Executor, Images, Input, Map, Scratch};
use crate::precision::Precision;

/// The CPU's arithmetic over a network's tensors.
pub(crate) struct Cpu<'a> {
    pub(super) state: &'a mut State,
    gradients: &'a mut [Tensor<1>],
    /// The losses of the samples, in order.
    pub(super) losses: Vec<f32>,
    pub(super) precision: Precision,
}

/// Runs a pass on the CPU.
pub(in crate::backend) fn run<W: Work>(site: Site<'_>, work: W) -> Tried<(W::Output, Vec<Tensor<1>>)> {
    let Site { state, gradients, precision, ledger } = site;
    let mut e = Executor::new(Cpu { state, gradients, losses: Vec::new(), precision }, ledger);
    let output = work.run(&mut e)?;
    Ok((output, e.backend.losses()))
}

impl Cpu<'_> {
    /// Lets `work` read the values of a trained tensor.
    pub(super) fn weight<T>(&self, slot: usize, work: impl FnOnce(&[f32]) -> T) -> Result<T, StageError> {
        read(&self.state.trained[slot], work)
    }

    /// Lets `work` add to the window's sum of a trained tensor.
    pub(super) fn gradient<T>(&mut self, slot: usize, work: impl FnOnce(&mut [f32]) -> T) -> Result<T, StageError> {
        match self.gradients.get_mut(slot) {
            Some(gradient) => write(gradient, work),
            None => Err(StageError::new("a backward pass without a place for its gradients")),
        }
    }
}

/// A map as the kernels read it.
pub(super) fn view<'a, E: Store>(input: &Input<'a, Cpu<'_>>) -> View<'a, E> {
    let (values, channels) = (E::of(&input.map.data), input.map.channels);
    match input.through {
        None => View::plain(values, channels),
        Some(through) => {
            let statistics = through.statistics;
            View::normed(values, channels, statistics.affine(through.part), statistics.activation)
        }
    }
}

pub(super) fn views<'a, E: Store>(inputs: &[Input<'a, Cpu<'_>>]) -> Vec<View<'a, E>> {
    inputs.iter().map(view).collect()
}

impl Backend for Cpu<'_> {
    type Data = Values;
    type Statistics = Statistics;

    fn precision(&self) -> Precision {
        self.precision
    }

    fn losses(self) -> Vec<Tensor<1>> {
        if self.losses.is_empty() { Vec::new() } else { vec![upload(self.losses, self.state.device())] }
    }

    fn values(&mut self, map: Map<Values>) -> Tried<Vec<f32>> {
        Ok(map.data.into_floats())
    }

    fn images(&mut self, images: Images<'_>, area: Area) -> Tried<Values> {
        Ok(with!(self.precision, E => E::wrap(values::planes::<E>(images, area)?)))
    }

    /// Images are converted to floats while they are copied.
    fn images_scratch(&self, _: Area) -> Scratch {
        Scratch::NONE
    }

    fn zeros(&mut self, channels: usize, area: Area, precision: Precision) -> Tried<Values> {
        Ok(with!(precision, E => E::wrap(zeros(area.values(channels))?)))
    }

    fn add(&mut self, sum: &mut Map<Values>, other: &Map<Values>) -> Tried<()> {
        with!(sum.data.precision(), E => values::add(E::of_mut(&mut sum.data), E::of(&other.data)));
        Ok(())
    }

    fn squares(&mut self, map: &Map<Values>) -> Tried<f64> {
        Ok(with!(map.data.precision(), E => values::squares(E::of(&map.data))))
    }

    fn norm_squares(&mut self, statistics: &Statistics) -> Tried<f64> {
        Ok(statistics.squares())
    }
}
