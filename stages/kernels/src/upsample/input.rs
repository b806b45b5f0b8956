//! The input gradient of the transposed convolution.

use super::tile::{Cut, ROWS};
use super::windows::windows;
use crate::bands::{Band, bands, run};
use crate::dispatch::{Kernel, widest};
use crate::rows::ROW;
use crate::{Area, Element};

/// Overwrites `out` with the gradient of the input:
/// `out[c, y, x] = sum_{o, i, j} weight[c, o, i, j] * upstream[o, 2y + i, 2x + j]`.
///
/// `area` is the input's area; `upstream` is `[batch, outputs, 2 height, 2 width]`, `weight` `[inputs, outputs, 2, 2]`,
/// `out` `[batch, inputs, height, width]`. The workspace has [`super::upsample_workspace`] values.
///
/// # Panics
/// When sizes disagree, the workspace is too small, or planes are empty.
pub fn upsample_input_gradient<E: Element>(
    upstream: &[E],
    weight: &[f32],
    inputs: usize,
    outputs: usize,
    area: Area,
    out: &mut [E],
    workspace: &mut [f32],
) {
    assert_eq!(upstream.len(), area.values(outputs) * 4, "the upstream's size");
    assert_eq!(weight.len(), inputs * outputs * 4, "the weight's size");
    assert_eq!(out.len(), area.values(inputs), "the gradient's size");
    let cut = Cut::new(outputs * 4, inputs);
    let layer = Layer { upstream, weight, area, cut };
    run(bands(out, inputs, area, 1), workspace, cut.workspace(), |band, workspace| {
        widest(WriteBand { layer: &layer, band, workspace });
    });
}

struct Layer<'a, E> {
    upstream: &'a [E],
    weight: &'a [f32],
    area: Area,
    cut: Cut,
}

struct WriteBand<'a, E> {
    layer: &'a Layer<'a, E>,
    band: Band<'a, E>,
    workspace: &'a mut [f32],
}

impl<E: Element> Kernel for WriteBand<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { layer, mut band, workspace } = self;
        let (cut, pixels) = (layer.cut, layer.area.pixels());
        for start in (0..band.pixels).step_by(cut.pixels) {
            let count = cut.pixels.min(band.pixels - start);
            cut.multiply::<FUSED>(
                workspace,
                count,
                |right| {
                    let mut rows = [[0.0; ROW]; 2];
                    let planes = layer.upstream.chunks(4 * pixels).skip(band.sample * cut.depth / 4).take(cut.depth / 4);
                    for (output, plane) in planes.enumerate() {
                        for lower in 0..2 {
                            let [even, odd] = &mut rows;
                            windows(plane, layer.area.width, lower, band.first + start, &mut even[..count], &mut odd[..count]);
                            right.put(4 * output + 2 * lower, even);
                            right.put(4 * output + 2 * lower + 1, odd);
                        }
                    }
                },
                |first, panel| {
                    for row in 0..ROWS {
                        // A last panel with fewer rows repeats one; nothing reads the results of those rows.
                        let weight = &layer.weight[(first + row).min(cut.rows - 1) * cut.depth..][..cut.depth];
                        for (to, weight) in panel.iter_mut().zip(weight) {
                            to[row] = *weight;
                        }
                    }
                },
                |first, product| {
                    for (row, product) in product.chunks(cut.pixels).enumerate() {
                        E::narrow(&product[..count], &mut band.planes[first + row][start..][..count]);
                    }
                },
            );
        }
    }
}
