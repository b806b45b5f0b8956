//! Smooth random textures that are the same on every machine: a hash of whole numbers, blended. No generator with a state.

/// A smooth random surface over the plane with bumps of about one unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noise(u64);

impl Noise {
    /// The surface of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The height at a point, from -1 to 1.
    pub(crate) fn at(self, x: f32, y: f32) -> f32 {
        let (left, top) = (x.floor(), y.floor());
        let (right, down) = (smooth(x - left), smooth(y - top));
        let (left, top) = (left as i32, top as i32);
        let above = mix(self.corner(left, top), self.corner(left + 1, top), right);
        let below = mix(self.corner(left, top + 1), self.corner(left + 1, top + 1), right);
        mix(above, below, down)
    }

    /// Bumps upon bumps: each of `layers` is twice as fine and half as high. From -1 to 1.
    pub(crate) fn layered(self, x: f32, y: f32, layers: u32) -> f32 {
        let (mut sum, mut scale, mut height, mut all) = (0.0, 1.0, 1.0, 0.0);
        for layer in 0..layers {
            // The shift keeps the layers' lattices from lying on each other.
            let shift = 17.3 * layer as f32;
            sum += height * self.at(x * scale + shift, y * scale - shift);
            all += height;
            scale *= 2.0;
            height *= 0.5;
        }
        sum / all
    }

    /// A value from -1 to 1 that neighbours don't share.
    pub(crate) fn corner(self, x: i32, y: i32) -> f32 {
        // splitmix64 over the seed and the place.
        let place = (u64::from(x as u32) << 32) | u64::from(y as u32);
        let mut bits = self.0 ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    }
}

/// From `from` to `to`.
pub(crate) fn mix(from: f32, to: f32, share: f32) -> f32 {
    from + (to - from) * share
}

fn smooth(share: f32) -> f32 {
    share * share * (3.0 - 2.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_smooth_bounded_and_of_mean_nothing() {
        let noise = Noise::new(7);
        let line: Vec<f32> = (0..20_000).map(|at| noise.layered(at as f32 * 0.01, 3.7, 3)).collect();
        assert!(line.iter().all(|height| height.abs() <= 1.0));
        assert!(line.windows(2).all(|two| (two[0] - two[1]).abs() < 0.1));
        assert!((line.iter().sum::<f32>() / line.len() as f32).abs() < 0.1);
        assert!((noise.at(2.0, -3.0) - noise.corner(2, -3)).abs() < 1e-6);
        assert!((Noise::new(8).at(2.5, 2.5) - noise.at(2.5, 2.5)).abs() > 1e-4);
    }
}
