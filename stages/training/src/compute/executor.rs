//! Drives an arithmetic over a network's layers: charges each map and each workspace before it is made, and adds up the work.
//! The order of its calls is the network's; what it computes is the arithmetic's.

use std::ops::Range;
use std::sync::Arc;

use pipeline_kernels::Area;

use super::{Arithmetic, Engine, Images, Input, Operation, Pass, Precision, Work};
use crate::loss::Loss;
use crate::memory::{Cause, Charge, Fault, Ledger, Tried};
use crate::network::{Convolution, Head, Norm, Upsample};

/// A map on the device, `[batch, channels, height, width]`. Its memory is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Map<D> {
    pub data: D,
    pub channels: usize,
    pub area: Area,
    charge: Charge,
}

impl<D> Map<D> {
    /// From now on this map is kept for the backward pass of a block.
    pub fn save(&mut self, block: &Arc<str>) {
        self.charge.save(block);
    }

    /// From now on this map is in use.
    pub fn work(&mut self) {
        self.charge.work();
    }
}

/// What a block makes for the layers after it: a convolution's output with the norm (and ReLU) that belongs to it, or a
/// plain map.
pub(crate) struct Feature<A: Arithmetic> {
    pub map: Map<A::Data>,
    pub norm: Option<(Norm, A::Moments)>,
}

impl<A: Arithmetic> Feature<A> {
    pub fn input(&self) -> Input<'_, A> {
        Input { map: &self.map, norm: self.norm.as_ref().map(|(norm, moments)| (norm, moments)) }
    }
}

/// One device's arithmetic with its ledger.
pub(crate) struct Executor<A> {
    pub arithmetic: A,
    engine: Engine,
    precision: Precision,
    ledger: Ledger,
    work: Work,
}

type Made<A> = Tried<Map<<A as Arithmetic>::Data>>;

impl<A: Arithmetic> Executor<A> {
    pub fn new(arithmetic: A, engine: Engine, precision: Precision, ledger: Ledger) -> Self {
        Self { arithmetic, engine, precision, ledger, work: Work::default() }
    }

    /// The work so far.
    pub fn work(&self) -> Work {
        self.work
    }

    /// Says where the following operations are. A device's allocator is asked here what it holds: once a block, since each
    /// question waits until the device's thread has come to it.
    pub fn enter(&self, block: &str, phase: &str) {
        if let Some((_, reserved)) = self.arithmetic.device_memory() {
            self.ledger.observe(reserved);
        }
        self.ledger.enter(|place| place.extend([block, " ", phase]));
    }

    /// Makes a map.
    fn make(
        &mut self,
        operation: Operation,
        (channels, area): (usize, Area),
        cause: Cause,
        work: impl FnOnce(&mut A) -> Tried<A::Data>,
    ) -> Made<A> {
        let bytes = match operation {
            Operation::Head { .. } => 4,
            _ => self.precision.bytes(),
        };
        let charge = self.ledger.charge(cause, area.values(channels) as u64 * bytes)?;
        let data = self.perform(operation, work)?;
        Ok(Map { data, channels, area, charge })
    }

    fn perform<T>(&mut self, operation: Operation, work: impl FnOnce(&mut A) -> Tried<T>) -> Tried<T> {
        let _temporary = match operation.temporaries(self.engine, self.precision) {
            0 => None,
            bytes => Some(self.ledger.charge(Cause::Workspace, bytes)?),
        };
        self.work += operation.work();
        self.ledger.need(operation.piece(self.precision));
        work(&mut self.arithmetic).map_err(|fault| match fault {
            // The arithmetic knows what it was refused; where that was, and what is held, the ledger knows.
            Fault::Memory(short) => Fault::Memory(self.ledger.refusal(short.asked, short.refused_by)),
            failed => failed,
        })
    }

    pub fn images(&mut self, images: Images<'_>, area: Area) -> Made<A> {
        self.make(Operation::Images { area }, (3, area), Cause::Batch, |a| a.images(images, area))
    }

    pub fn convolve(&mut self, layer: &Convolution, inputs: &[Input<'_, A>]) -> Made<A> {
        let area = inputs[0].map.area;
        let normed = inputs.iter().filter(|input| input.norm.is_some());
        let copied = normed.map(|input| input.map.channels).max().unwrap_or(0);
        let operation = Operation::Convolve { inputs: layer.inputs, outputs: layer.outputs, area, parts: inputs.len(), copied };
        self.make(operation, (layer.outputs, area), Cause::Working, |a| a.convolve(layer, inputs, area))
    }

    pub fn convolve_weight(&mut self, layer: &Convolution, inputs: &[Input<'_, A>], upstream: &Map<A::Data>) -> Tried<()> {
        let operation = Operation::ConvolveWeight { inputs: layer.inputs, outputs: layer.outputs, area: upstream.area };
        self.perform(operation, |a| a.convolve_weight(layer, inputs, upstream))
    }

    pub fn convolve_input(&mut self, layer: &Convolution, upstream: &Map<A::Data>, wanted: Range<usize>) -> Made<A> {
        let (area, channels) = (upstream.area, wanted.len());
        let operation = Operation::ConvolveInput { wanted: channels, outputs: layer.outputs, area };
        self.make(operation, (channels, area), Cause::Working, |a| a.convolve_input(layer, upstream, wanted))
    }

    pub fn moments(&mut self, norm: &Norm, x: &Map<A::Data>, pass: Pass) -> Tried<A::Moments> {
        self.perform(Operation::Moments { channels: x.channels, area: x.area }, |a| a.moments(norm, x, pass))
    }

    pub fn norm_input(&mut self, feature: &Feature<A>, mut upstream: Map<A::Data>) -> Made<A> {
        let Some((norm, moments)) = &feature.norm else { return Ok(upstream) };
        let x = &feature.map;
        let operation = Operation::NormInput { channels: x.channels, area: x.area };
        self.perform(operation, |a| a.norm_input(norm, x, moments, &mut upstream))?;
        Ok(upstream)
    }

    pub fn pool(&mut self, input: Input<'_, A>) -> Made<A> {
        let (channels, area) = (input.map.channels, input.map.area);
        let half = Area { height: area.height / 2, width: area.width / 2, ..area };
        self.make(Operation::Pool { channels, area }, (channels, half), Cause::Working, |a| a.pool(input))
    }

    /// Adds the gradient of the pooling's input to `sum`, or starts one.
    pub fn pool_input(&mut self, input: Input<'_, A>, upstream: &Map<A::Data>, sum: Option<Map<A::Data>>) -> Made<A> {
        let (channels, area) = (input.map.channels, input.map.area);
        let mut sum = match sum {
            Some(sum) => sum,
            None => {
                let zeros = |a: &mut A| a.zeros(channels, area);
                self.make(Operation::Zeros { channels, area }, (channels, area), Cause::Working, zeros)?
            }
        };
        self.perform(Operation::PoolInput { channels, area }, |a| a.pool_input(input, upstream, &mut sum))?;
        Ok(sum)
    }

    pub fn upsample(&mut self, layer: &Upsample, input: Input<'_, A>) -> Made<A> {
        let area = input.map.area;
        let double = Area { height: area.height * 2, width: area.width * 2, ..area };
        let operation = Operation::Upsample { inputs: layer.inputs, outputs: layer.outputs, area };
        self.make(operation, (layer.outputs, double), Cause::Working, |a| a.upsample(layer, input))
    }

    pub fn upsample_weight(&mut self, layer: &Upsample, input: Input<'_, A>, upstream: &Map<A::Data>) -> Tried<()> {
        let operation = Operation::UpsampleWeight { inputs: layer.inputs, outputs: layer.outputs, area: input.map.area };
        self.perform(operation, |a| a.upsample_weight(layer, input, upstream))
    }

    pub fn upsample_input(&mut self, layer: &Upsample, upstream: &Map<A::Data>) -> Made<A> {
        let area = Area { height: upstream.area.height / 2, width: upstream.area.width / 2, ..upstream.area };
        let operation = Operation::UpsampleInput { inputs: layer.inputs, outputs: layer.outputs, area };
        self.make(operation, (layer.inputs, area), Cause::Working, |a| a.upsample_input(layer, upstream))
    }

    /// Logits, float32.
    pub fn head(&mut self, layer: &Head, input: Input<'_, A>) -> Made<A> {
        let area = input.map.area;
        let operation = Operation::Head { inputs: layer.inputs, outputs: layer.outputs, area };
        self.make(operation, (layer.outputs, area), Cause::Working, |a| a.head(layer, input))
    }

    pub fn head_weight(&mut self, layer: &Head, input: Input<'_, A>, upstream: &Map<A::Data>) -> Tried<()> {
        let operation = Operation::HeadWeight { inputs: layer.inputs, outputs: layer.outputs, area: upstream.area };
        self.perform(operation, |a| a.head_weight(layer, input, upstream))
    }

    pub fn head_input(&mut self, layer: &Head, upstream: &Map<A::Data>) -> Made<A> {
        let area = upstream.area;
        let operation = Operation::HeadInput { inputs: layer.inputs, outputs: layer.outputs, area };
        self.make(operation, (layer.inputs, area), Cause::Working, |a| a.head_input(layer, upstream))
    }

    /// From logits to their gradient, in place.
    pub fn loss(&mut self, loss: Loss, mut logits: Map<A::Data>, masks: &[u8], scale: f32) -> Made<A> {
        self.enter("loss", "forward");
        self.perform(Operation::Loss { area: logits.area }, |a| a.loss(loss, &mut logits, masks, scale))?;
        Ok(logits)
    }

    /// The sum of squares of a map's values, and how many they are.
    pub fn squares(&mut self, input: Input<'_, A>) -> Tried<(f64, u64)> {
        let count = input.map.area.values(input.map.channels) as u64;
        Ok((self.arithmetic.squares(input)?, count))
    }

    /// The sum of two gradients of one map.
    pub fn add(&mut self, sum: Option<Map<A::Data>>, other: Map<A::Data>) -> Made<A> {
        let Some(mut sum) = sum else { return Ok(other) };
        let operation = Operation::Add { channels: sum.channels, area: sum.area };
        self.perform(operation, |a| a.add(&mut sum, &other))?;
        Ok(sum)
    }
}
