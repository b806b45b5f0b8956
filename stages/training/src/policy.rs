//! The memory policies of a run, as values: the policies that passes over the network run under.

use crate::network::Checkpointing;
use crate::precision::Precision;

/// The policies for the passes over a micro-batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Setting {
    /// The type that maps are stored in.
    pub precision: Precision,
    /// What the backward pass recomputes.
    pub checkpointing: Checkpointing,
    /// Maximum samples per pass; a larger micro-batch is processed in parts.
    pub samples: usize,
}

impl Default for Setting {
    fn default() -> Self {
        Self { precision: Precision::Float32, checkpointing: Checkpointing::None, samples: usize::MAX }
    }
}

/// The dynamic loss scale of float16, as `torch.amp.GradScaler`: doubled after 2000 good steps in a row, halved when a
/// window's gradient overflows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossScale {
    scale: f64,
    good: u64,
    dynamic: bool,
}

impl LossScale {
    /// The initial scale of `torch.amp.GradScaler`.
    pub const START: f64 = 65536.0;
    /// Consecutive steps without overflow before the scale is doubled.
    pub const INTERVAL: u64 = 2000;
    /// The smallest scale: a window that overflows at this scale would overflow without one too.
    pub const FLOOR: f64 = 1.0;

    /// A scale that starts at `start` for float16, and a constant 1 for the other precisions, whose range is float32's.
    pub fn new(precision: Precision, start: f64) -> Self {
        match precision {
            Precision::Float16 => Self { scale: start, good: 0, dynamic: true },
            _ => Self { scale: 1.0, good: 0, dynamic: false },
        }
    }

    /// The current factor that losses are multiplied by.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The number of good steps since the scale last changed.
    pub fn good_steps(&self) -> u64 {
        self.good
    }

    /// Continues with the scale of another run. A precision without a loss scale ignores it.
    pub fn resume(&mut self, scale: f64, good_steps: u64) {
        if self.dynamic {
            (self.scale, self.good) = (scale.max(Self::FLOOR), good_steps);
        }
    }

    /// True when an occasional overflow is expected and costs only a window.
    pub fn is_dynamic(&self) -> bool {
        self.dynamic
    }

    /// Records a completed step.
    pub fn passed(&mut self) {
        if self.dynamic {
            self.good += 1;
            if self.good == Self::INTERVAL {
                (self.scale, self.good) = (self.scale * 2.0, 0);
            }
        }
    }

    /// Records a window that overflowed. False when the scale is already at its floor.
    #[must_use]
    pub fn overflowed(&mut self) -> bool {
        let lower = self.dynamic && self.scale > Self::FLOOR;
        (self.scale, self.good) = ((self.scale * 0.5).max(Self::FLOOR), 0);
        lower
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_follows_grad_scaler_and_stops_at_its_floor() {
        let mut scale = LossScale::new(Precision::Float16, LossScale::START);
        for _ in 0..LossScale::INTERVAL - 1 {
            scale.passed();
        }
        assert_eq!(scale.scale(), 65536.0);
        scale.passed();
        assert_eq!(scale.scale(), 131_072.0);
        for _ in 0..LossScale::INTERVAL - 1 {
            scale.passed();
        }
        assert!(scale.overflowed(), "halved, and the count starts anew");
        scale.passed();
        assert_eq!(scale.scale(), 65536.0);
        let halvings = (0..100).take_while(|_| scale.overflowed()).count();
        assert_eq!((halvings, scale.scale()), (16, 1.0));
        assert_eq!(LossScale::new(Precision::BFloat16, 65536.0).scale(), 1.0);
    }
}
