//! The labels that logits are compared with, at the size of any head.

use std::borrow::Cow;

use pipeline_kernels::{Area, target_at};

/// The labels of a micro-batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// `[batch, height, width]`: nonzero on vessels, or class numbers. Empty in a walk that only counts.
    pub labels: &'a [u8],
    /// The size of the label map.
    pub area: Area,
}

impl<'a> Target<'a> {
    /// The labels at the size of a coarser head: for each cell, the label of the pixel at its centre (`nearest-exact`, as in
    /// nnU-Net's deep supervision).
    pub fn at(self, area: Area) -> Cow<'a, [u8]> {
        if area == self.area || self.labels.is_empty() {
            return Cow::Borrowed(self.labels);
        }
        let mut labels = vec![0; area.values(1)];
        target_at(self.labels, self.area, [area.height, area.width], &mut labels);
        Cow::Owned(labels)
    }
}
