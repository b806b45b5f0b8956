//! Logits as maps, with our kernels.

use pipeline_kernels as kernels;

use super::core::Cpu;
use super::values::{Store as _, Values, with, zeros};
use crate::layer::StoredLogitsBackend;
use crate::memory::Tried;
use crate::pass::Map;

impl StoredLogitsBackend for Cpu<'_> {
    fn stored(&mut self, logits: &Map<Values>) -> Tried<Values> {
        Ok(with!(self.precision, E => {
            let mut out = zeros(logits.area.values(logits.channels))?;
            kernels::round(f32::of(&logits.data), &mut out);
            E::wrap(out)
        }))
    }

    fn stored_input(&mut self, upstream: &Map<Values>, sum: &mut Map<Values>) -> Tried<()> {
        with!(self.precision, E => kernels::add_wide(f32::of_mut(&mut sum.data), E::of(&upstream.data)));
        Ok(())
    }
}
