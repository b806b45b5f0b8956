//! Soft Dice of a mask or of one class, from a sample's `overlap = sum(min(p, y))` and `total = sum(p) + sum(y)`.

/// Keeps ratios of sums defined on empty masks; the default of MONAI's `DiceLoss` and `TverskyLoss`.
pub(super) const EPSILON: f64 = 1e-5;

fn ratio(overlap: f64, total: f64) -> f64 {
    (2.0 * overlap + EPSILON) / (total + EPSILON)
}

pub(super) fn value(overlap: f64, total: f64) -> f64 {
    1.0 - ratio(overlap, total)
}

/// The derivative with respect to a probability that is above the mask's part of the pixel, and to one below, times `scale`.
pub(super) fn slopes(overlap: f64, total: f64, scale: f64) -> [f32; 2] {
    let (ratio, total) = (ratio(overlap, total), total + EPSILON);
    let background = (scale * ratio / total) as f32;
    [background, background - (scale * 2.0 / total) as f32]
}
