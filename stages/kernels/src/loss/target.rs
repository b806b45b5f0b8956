//! The target of a head whose map is smaller than the label map.

use crate::Area;

/// Writes the labels at the size of a coarser head: for each cell the pixel at its centre, `floor((i + 1/2) * factor)`, as
/// `torch.nn.functional.interpolate(mode="nearest-exact")`. Masks and class numbers keep their values.
///
/// `labels` is `[batch, height, width]`; `out` is `[batch, size[0], size[1]]`.
///
/// # Panics
/// When sizes disagree, or the target has no pixels.
pub fn target_at(labels: &[u8], area: Area, size: [usize; 2], out: &mut [u8]) {
    let [height, width] = size;
    assert_eq!(labels.len(), area.values(1), "a label for each pixel");
    assert_eq!(out.len(), area.batch * height * width, "the target's size");
    assert!(area.pixels() > 0 && height * width > 0, "maps without pixels");
    let nearest = |index: usize, from: usize, to: usize| (2 * index + 1) * from / (2 * to);
    for (labels, out) in labels.chunks(area.pixels()).zip(out.chunks_mut(height * width)) {
        for (y, out) in out.chunks_mut(width).enumerate() {
            let row = &labels[nearest(y, area.height, height) * area.width..][..area.width];
            for (x, out) in out.iter_mut().enumerate() {
                *out = row[nearest(x, area.width, width)];
            }
        }
    }
}
