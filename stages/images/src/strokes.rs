//! Draws vessel pieces onto pixels: for each pixel, how deep it lies inside which vessel. Chooses no colours.

use crate::vessels::Piece;

/// What a pixel knows of the vessel that it lies deepest in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Hit {
    /// From the pixel's middle to the vessel's edge, in pixels; negative outside.
    pub(crate) depth: f32,
    /// Half of the vessel's width here, in pixels.
    pub(crate) radius: f32,
    /// How clearly the vessel stands out, 0 to 1.
    pub(crate) contrast: f32,
}

/// Nothing is near.
const NOTHING: Hit = Hit { depth: -1e6, radius: 1.0, contrast: 0.0 };

/// No vessel is drawn thinner than this many pixels: thinner ones would fall apart in the mask.
const THINNEST: f32 = 1.1;

impl Hit {
    /// How much of the pixel is vessel, 0 to 1, with an edge of `softness` pixels. At least 0.5 where its middle is inside.
    pub(crate) fn coverage(&self, softness: f32) -> f32 {
        (self.depth / softness + 0.5).clamp(0.0, 1.0)
    }

    /// 0 at the vessel's edges, 1 in its middle.
    pub(crate) fn inwards(&self) -> f32 {
        (self.depth / self.radius).clamp(0.0, 1.0)
    }
}

/// Draws pieces onto `size` x `size` pixels, on which the field's middle is at `middle` and its radius is `radius` pixels.
pub(crate) fn draw<'a>(pieces: impl Iterator<Item = &'a Piece>, size: usize, middle: [f32; 2], radius: f32) -> Vec<Hit> {
    let mut hits = vec![NOTHING; size * size];
    for piece in pieces {
        let [from, to] = piece.ends.map(|end| [middle[0] + end[0] * radius, middle[1] + end[1] * radius]);
        let halves = piece.widths.map(|width| (width * radius).max(THINNEST) / 2.0);
        let reach = halves[0].max(halves[1]) + 2.0 + 0.01 * radius;
        let bounds = |axis: usize| {
            let first = (from[axis].min(to[axis]) - reach).max(0.0) as usize;
            let last = (from[axis].max(to[axis]) + reach).max(0.0) as usize;
            first..last.saturating_add(1).min(size)
        };
        let along = [to[0] - from[0], to[1] - from[1]];
        let squared = (along[0] * along[0] + along[1] * along[1]).max(1e-12);
        for y in bounds(1) {
            for x in bounds(0) {
                let offset = [x as f32 + 0.5 - from[0], y as f32 + 0.5 - from[1]];
                let share = ((offset[0] * along[0] + offset[1] * along[1]) / squared).clamp(0.0, 1.0);
                let apart = [offset[0] - share * along[0], offset[1] - share * along[1]];
                let half = halves[0] + (halves[1] - halves[0]) * share;
                let depth = half - (apart[0] * apart[0] + apart[1] * apart[1]).sqrt();
                let hit = &mut hits[y * size + x];
                if depth > hit.depth {
                    *hit = Hit { depth, radius: half, contrast: piece.contrast };
                }
            }
        }
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stroke_covers_its_width() {
        let piece = Piece { ends: [[-0.5, 0.0], [0.5, 0.0]], widths: [0.1, 0.1], contrast: 1.0, artery: true };
        let hits = draw([piece].iter(), 100, [50.0, 50.0], 50.0);
        // 0.1 radii are 5 pixels; column 50 runs across the middle of the stroke.
        let column: Vec<f32> = (40..60).map(|y| hits[y * 100 + 50].coverage(1.0)).collect();
        assert!((column.iter().sum::<f32>() - 5.0).abs() < 1e-3, "{column:?}");
        assert_eq!(column.iter().filter(|&&coverage| coverage >= 0.5).count(), 6, "both edges lie on the middle of a pixel");
        let area: f32 = hits.iter().map(|hit| hit.coverage(1.0)).sum();
        // A rectangle with half a disc at each end.
        let expected = 50.0 * 5.0 + std::f32::consts::PI * 2.5 * 2.5;
        assert!((area - expected).abs() < 1.0, "{area} is not {expected}");
        assert!(hits[50 * 100 + 50].inwards() > 0.7 && hits[10 * 100 + 10].inwards() == 0.0);
    }
}
