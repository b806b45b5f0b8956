//! What `augment` draws for one sample in one epoch. What the numbers mean is told where they are used.

use pipeline_contract::Rng;
use rand::RngExt;

/// All of it is drawn, in this order, whatever the options: switching one on changes nothing about the others. New ones are added at the end.
pub(super) struct Drawn {
    pub up_down: bool,
    pub left_right: bool,
    pub quarters: u32,
    /// From -1 to 1, like the four that follow.
    pub rotate: f32,
    pub scale: f32,
    pub contrast: f32,
    pub brightness: f32,
    pub gamma: f32,
    pub elastic: Chance,
    pub elastic_alpha: f32,
    pub elastic_sigma: f32,
    pub elastic_seed: u64,
    /// From -1 to 1, like the next.
    pub hue: f32,
    pub saturation: f32,
    /// From 0 to 1, like all other numbers.
    pub falloff: f32,
    pub falloff_direction: f32,
    pub green: Chance,
    pub clahe: Chance,
    pub blur: Chance,
    pub blur_sigma: f32,
    pub noise: f32,
    pub noise_seed: u64,
    pub jpeg: Chance,
    pub jpeg_quality: f32,
    pub dropout: Chance,
    pub dropout_seed: u64,
}

/// A number from 0 to 1, by which something is done or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chance(f32);

impl Chance {
    /// Whether it is done, if it is for this share of the samples.
    pub fn within(self, share: f32) -> bool {
        self.0 < share
    }
}

impl Drawn {
    pub fn new(rng: &mut Rng) -> Self {
        let (up_down, left_right, quarters) = (rng.random(), rng.random(), rng.random_range(0..4));
        let [rotate, scale, contrast, brightness, gamma] = std::array::from_fn(|_| either_way(rng));
        // A struct's fields are evaluated in the order in which they stand here.
        Self {
            up_down,
            left_right,
            quarters,
            rotate,
            scale,
            contrast,
            brightness,
            gamma,
            elastic: Chance(rng.random()),
            elastic_alpha: rng.random(),
            elastic_sigma: rng.random(),
            elastic_seed: rng.random(),
            hue: either_way(rng),
            saturation: either_way(rng),
            falloff: rng.random(),
            falloff_direction: rng.random(),
            green: Chance(rng.random()),
            clahe: Chance(rng.random()),
            blur: Chance(rng.random()),
            blur_sigma: rng.random(),
            noise: rng.random(),
            noise_seed: rng.random(),
            jpeg: Chance(rng.random()),
            jpeg_quality: rng.random(),
            dropout: Chance(rng.random()),
            dropout_seed: rng.random(),
        }
    }
}

/// From -1 to 1.
fn either_way(rng: &mut Rng) -> f32 {
    rng.random::<f32>() * 2.0 - 1.0
}
