//! The transposed convolution itself.

use super::tile::{Cut, ROWS};
use crate::bands::{Band, bands, run};
use crate::dispatch::{Kernel, widest};
use crate::rows::{Plane, ROW, check};
use crate::{Area, Element, View};

/// `out[o, 2y + i, 2x + j] = bias[o] + sum_c weight[c, o, i, j] * in[c, y, x]`, as torch.nn.ConvTranspose2d of kernel 2 and
/// stride 2: a matrix product, as windows do not overlap.
///
/// `area` is the input's area; `weight` is `[inputs, outputs, 2, 2]`, `bias` `[outputs]`, `out`
/// `[batch, outputs, 2 height, 2 width]`. The workspace has [`super::upsample_workspace`] values.
///
/// # Panics
/// When sizes disagree, the workspace is too small, or planes are empty.
pub fn upsample<E: Element>(
    input: View<'_, E>,
    weight: &[f32],
    bias: &[f32],
    area: Area,
    out: &mut [E],
    workspace: &mut [f32],
) {
    let (inputs, outputs) = (input.channels, bias.len());
    check(&input, area);
    assert_eq!(weight.len(), inputs * outputs * 4, "the weight's size");
    assert_eq!(out.len(), area.values(outputs) * 4, "the output's size");
    let cut = Cut::new(inputs, outputs * 4);
    let layer = Layer { input, weight, bias, area, cut };
    run(bands(out, outputs, area, 4), workspace, cut.workspace(), |band, workspace| {
        widest(WriteBand { layer: &layer, band, workspace });
    });
}

struct Layer<'a, E> {
    input: View<'a, E>,
    weight: &'a [f32],
    bias: &'a [f32],
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
        let (cut, width) = (layer.cut, layer.area.width);
        let mut row = [0.0; 2 * ROW];
        for start in (0..band.pixels).step_by(cut.pixels) {
            let count = cut.pixels.min(band.pixels - start);
            cut.multiply::<FUSED>(
                workspace,
                count,
                |right| {
                    let mut row = [0.0; ROW];
                    for channel in 0..cut.depth {
                        let plane = Plane::of(&layer.input, band.sample * cut.depth + channel, layer.area.pixels());
                        plane.read(band.first + start, &mut row[..count]);
                        right.put(channel, &row);
                    }
                },
                |first, panel| {
                    // A last panel with fewer rows keeps its old values; nothing reads the results of those rows.
                    let rows = ROWS.min(cut.rows - first);
                    for (to, weight) in panel.iter_mut().zip(layer.weight.chunks(cut.rows)) {
                        to[..rows].copy_from_slice(&weight[first..][..rows]);
                    }
                },
                |first, product| {
                    for (output, product) in product.chunks(4 * cut.pixels).enumerate() {
                        let output = first / 4 + output;
                        let (out, bias) = (&mut *band.planes[output], layer.bias[output]);
                        for (lower, product) in product.chunks(2 * cut.pixels).enumerate() {
                            let (left, right) = product.split_at(cut.pixels);
                            let mut done = 0;
                            while done < count {
                                let (y, x) = ((start + done) / width, (start + done) % width);
                                let length = (width - x).min(count - done);
                                let row = &mut row[..2 * length];
                                interleave(&left[done..][..length], &right[done..][..length], bias, row);
                                E::narrow(row, &mut out[((2 * y + lower) * width + x) * 2..][..2 * length]);
                                done += length;
                            }
                        }
                    }
                },
            );
        }
    }
}

#[inline(always)]
fn interleave(left: &[f32], right: &[f32], bias: f32, to: &mut [f32]) {
    for (to, (left, right)) in to.as_chunks_mut::<2>().0.iter_mut().zip(left.iter().zip(right)) {
        *to = [left + bias, right + bias];
    }
}
