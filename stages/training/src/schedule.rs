//! Learning rates over a run: constant, cosine, polynomial, each with a linear warm-up. Counted in optimizer steps. It is
//! given the total number of steps; the optimizer stage works that number out.

/// How the learning rate falls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// It stays at `lr`.
    Constant,
    /// Half a cosine from `lr` to `min_lr` (Loshchilov and Hutter, 2017, without restarts).
    Cosine,
    /// `(1 - t)^power` from `lr` to `min_lr`.
    Polynomial {
        /// The exponent.
        power: f64,
    },
}

/// A learning rate for each step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// How it falls after the warm-up.
    pub shape: Shape,
    /// The peak learning rate, after the warm-up.
    pub lr: f64,
    /// The learning rate at the end.
    pub min_lr: f64,
    /// Steps over which it rises linearly from `lr / warmup_steps` to `lr`.
    pub warmup_steps: u64,
    /// Steps of the whole run; further steps keep the final learning rate.
    pub total_steps: u64,
}

impl Schedule {
    /// The learning rate of a step; steps count from 0.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.lr * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let falling = self.total_steps.saturating_sub(self.warmup_steps).max(1);
        let t = ((step - self.warmup_steps) as f64 / falling as f64).min(1.0);
        let height = match self.shape {
            Shape::Constant => return self.lr,
            Shape::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * t).cos()),
            Shape::Polynomial { power } => (1.0 - t).powf(power),
        };
        self.min_lr + (self.lr - self.min_lr) * height
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(shape: Shape, step: u64) -> f64 {
        Schedule { shape, lr: 1.0, min_lr: 0.1, warmup_steps: 4, total_steps: 14 }.at(step)
    }

    #[test]
    fn warm_up_rises_to_the_top_and_the_end_is_the_least() {
        for shape in [Shape::Constant, Shape::Cosine, Shape::Polynomial { power: 0.9 }] {
            assert_eq!((0..5).map(|step| at(shape, step)).collect::<Vec<_>>(), [0.25, 0.5, 0.75, 1.0, 1.0]);
        }
        // Half way: cos(pi / 2) = 0; 1 - t = 1 / 2.
        assert!((at(Shape::Cosine, 9) - 0.55).abs() < 1e-12);
        assert!((at(Shape::Polynomial { power: 2.0 }, 9) - (0.1 + 0.9 * 0.25)).abs() < 1e-12);
        assert_eq!(at(Shape::Constant, 99), 1.0);
        assert!((at(Shape::Cosine, 14) - 0.1).abs() < 1e-12 && (at(Shape::Cosine, 99) - 0.1).abs() < 1e-12);
        assert!((at(Shape::Polynomial { power: 0.9 }, 99) - 0.1).abs() < 1e-12);
    }

    /// A file may ask for any number of epochs, each with any number of samples.
    #[test]
    fn runs_of_any_length_have_a_rate() {
        for (warmup_steps, total_steps) in [(0, u64::MAX), (u64::MAX, u64::MAX), (u64::MAX, 0), (0, 0)] {
            for shape in [Shape::Constant, Shape::Cosine, Shape::Polynomial { power: 0.9 }] {
                for step in [0, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
                    let lr = Schedule { shape, lr: 1.0, min_lr: 0.1, warmup_steps, total_steps }.at(step);
                    assert!((0.0..=1.0).contains(&lr), "{warmup_steps} {total_steps} {step}: {lr}");
                }
            }
        }
    }
}
