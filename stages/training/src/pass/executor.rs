//! Runs operations on a backend: charges each map and all scratch memory to the ledger before it is allocated, and adds up the
//! work.

use std::collections::BTreeMap;

use pipeline_kernels::Area;

use super::{Backend, Cost, Images, Made, Map, Shape, Work};
use crate::memory::{Cause, Charge, Fault, Ledger, Tried};
use crate::precision::Precision;

/// A backend and its ledger.
pub(crate) struct Executor<B> {
    pub backend: B,
    ledger: Ledger,
    work: Work,
    /// What operations leave behind for the rest of the pass, by the trained tensor it belongs to.
    kept: BTreeMap<usize, Charge>,
}

impl<B: Backend> Executor<B> {
    pub fn new(backend: B, ledger: Ledger) -> Self {
        Self { backend, ledger, work: Work::default(), kept: BTreeMap::new() }
    }

    /// The work done so far.
    pub fn work(&self) -> Work {
        self.work
    }

    /// Names the place of the operations that follow. Also asks the device's allocator how much it holds: only once per block,
    /// since the answer waits for the device.
    pub fn enter(&self, block: &str, phase: &str) {
        if let Some((_, reserved)) = self.backend.device_memory() {
            self.ledger.observe(reserved);
        }
        self.ledger.enter(|place| place.extend([block, " ", phase]));
    }

    /// Makes a map in the precision of the pass.
    pub fn make(&mut self, cost: Cost, shape: Shape, operation: impl FnOnce(&mut B) -> Tried<B::Data>) -> Made<B> {
        let bytes = self.backend.precision().bytes();
        self.charged(cost, shape, bytes, Cause::Working, operation)
    }

    /// Makes a map of float32 values, such as logits.
    pub fn make_wide(&mut self, cost: Cost, shape: Shape, operation: impl FnOnce(&mut B) -> Tried<B::Data>) -> Made<B> {
        self.charged(cost, shape, size_of::<f32>() as u64, Cause::Working, operation)
    }

    fn charged(
        &mut self,
        cost: Cost,
        shape: Shape,
        bytes: u64,
        cause: Cause,
        operation: impl FnOnce(&mut B) -> Tried<B::Data>,
    ) -> Made<B> {
        let charge = self.ledger.charge(cause, shape.values() * bytes)?;
        let data = self.perform(cost, operation)?;
        Ok(Map { data, channels: shape.channels, area: shape.area, charge })
    }

    /// Charges the copy of a trained tensor of this many values that the backend keeps for the rest of the pass, if it does.
    pub fn keep(&mut self, slot: usize, values: usize) -> Tried<()> {
        let bytes = self.backend.kept(values);
        if bytes > 0 && !self.kept.contains_key(&slot) {
            self.kept.insert(slot, self.ledger.charge(Cause::Weights, bytes)?);
        }
        Ok(())
    }

    /// Runs an operation that makes no map.
    pub fn perform<T>(&mut self, cost: Cost, operation: impl FnOnce(&mut B) -> Tried<T>) -> Tried<T> {
        let _scratch = match cost.scratch.bytes {
            0 => None,
            bytes => Some(self.ledger.charge(Cause::Workspace, bytes)?),
        };
        self.work += cost.work;
        self.ledger.need(cost.scratch.largest);
        operation(&mut self.backend).map_err(|fault| match fault {
            // The backend knows what was refused; the ledger knows what is held, and where.
            Fault::Memory(short) => Fault::Memory(self.ledger.refusal(short.asked, short.refused_by)),
            failed => failed,
        })
    }

    pub fn images(&mut self, images: Images<'_>, area: Area) -> Made<B> {
        let shape = Shape { channels: 3, area };
        let scratch = self.backend.images_scratch(area);
        let cost = Cost { scratch, ..Cost::moving(shape.values() as f64) };
        let bytes = self.backend.precision().bytes();
        self.charged(cost, shape, bytes, Cause::Batch, |b| b.images(images, area))
    }

    /// Turns one map into another, in its memory.
    pub fn remake(
        &mut self,
        cost: Cost,
        map: Map<B::Data>,
        operation: impl FnOnce(&mut B, B::Data) -> Tried<B::Data>,
    ) -> Made<B> {
        let Map { data, channels, area, charge } = map;
        let data = self.perform(cost, |b| operation(b, data))?;
        Ok(Map { data, channels, area, charge })
    }

    /// A map of zeros.
    pub fn zeros(&mut self, shape: Shape) -> Made<B> {
        let precision = self.backend.precision();
        self.make(Cost::moving(shape.values() as f64), shape, |b| b.zeros(shape.channels, shape.area, precision))
    }

    /// A map of float32 zeros.
    pub fn zeros_wide(&mut self, shape: Shape) -> Made<B> {
        let zeros = |b: &mut B| b.zeros(shape.channels, shape.area, Precision::Float32);
        self.make_wide(Cost::moving(shape.values() as f64), shape, zeros)
    }

    /// The sum of two gradients of one map.
    pub fn add(&mut self, sum: Option<Map<B::Data>>, other: Map<B::Data>) -> Made<B> {
        match sum {
            Some(sum) => self.add_to(sum, &other),
            None => Ok(other),
        }
    }

    /// `sum + other`, in the memory of `sum`.
    pub fn add_to(&mut self, mut sum: Map<B::Data>, other: &Map<B::Data>) -> Made<B> {
        self.perform(Cost::moving(3.0 * sum.shape().values() as f64), |b| b.add(&mut sum, other))?;
        Ok(sum)
    }

    /// The sum of squares of a map's values, and how many values there are.
    pub fn squares(&mut self, map: &Map<B::Data>) -> Tried<(f64, u64)> {
        Ok((self.backend.squares(map)?, map.shape().values()))
    }
}
