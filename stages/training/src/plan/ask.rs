//! What a fit asks a device, and how it weighs the answers. It ranks nothing itself.

use pipeline_contract::Result;

use super::calibrate::Speed;
use crate::policy::Setting;
use crate::precision::Precision;

/// The share of a budget that is left free for what a plan doesn't count: the allocator's rounding, the driver.
pub const MARGIN: f64 = 0.05;

/// Time estimates within this ratio of each other count as equal.
pub(super) const TIE: f64 = 1.1;

/// Queries a device's speed and limits.
pub trait Ask {
    /// The device's speed in a precision.
    ///
    /// # Errors
    /// What it reports.
    fn speed(&self, precision: Precision) -> Result<Speed>;

    /// Bytes that the device's allocator will have reserved at the peak, with `micro_batch` samples per micro-batch; `None`
    /// where the plan is exact.
    ///
    /// # Errors
    /// What it reports.
    fn reserved(&self, micro_batch: usize, setting: Setting) -> Result<Option<u64>>;

    /// The same, with evaluations that see `(tiles, height, width)` at a time.
    ///
    /// # Errors
    /// What it reports.
    fn reserved_with(&self, micro_batch: usize, setting: Setting, tiles: (usize, usize, usize)) -> Result<Option<u64>> {
        let _ = tiles;
        self.reserved(micro_batch, setting)
    }

    /// The device's largest buffer, in bytes; `None` where there is no limit.
    fn largest_buffer(&self) -> Option<u64> {
        None
    }
}
