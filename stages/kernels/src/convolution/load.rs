//! Reading tiles of maps into scratch memory.

use super::lanes::{Kernel, Lanes, run};
use super::taps::Border;
use super::tile::{Cut, Rows, Tile, WIDEST};
use crate::{Activation, Area, Element, View};
use std::ops::Range;

/// The most columns of both borders.
const BORDERS: usize = 4;

/// What a tile is read with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// None, or the cut's border. It is zero outside of the map.
    pub(super) border: Border,
    /// From a channel's or phase's run to the next.
    pub(super) run: usize,
}

impl Cut {
    /// Reads channels of the views, with zeros between rows.
    pub(super) fn load<E: Element>(
        &self,
        tile: Tile,
        inputs: &[View<'_, E>],
        channels: Range<usize>,
        reading: Reading,
        to: &mut [f32],
    ) {
        let Columns { first, length, .. } = self.columns(tile, reading.border);
        let Area { height, width, .. } = self.area;
        self.load_samples(tile, inputs, channels, (reading, 1), to, |view, plane, rows, to| {
            let from = &view.values[(plane * height + rows.y) * width..][..rows.count * width];
            for (from, to) in from.chunks_exact(width).zip(to.chunks_mut(self.stride)) {
                let (row, gap) = to.split_at_mut(length);
                E::widen(&from[first..][..length], row);
                gap.fill(0.0);
            }
        });
    }

    /// Reads phases of channels of views of twice the cut's sides: all four, in a run each, or only the first.
    pub(super) fn load_phases<E: Element>(
        &self,
        tile: Tile,
        inputs: &[View<'_, E>],
        channels: Range<usize>,
        (reading, phases): (Reading, usize),
        to: &mut [f32],
    ) {
        let Columns { first, length, .. } = self.columns(tile, reading.border);
        let (height, width) = (2 * self.area.height, 2 * self.area.width);
        let mut wide = [0.0; 2 * (WIDEST + BORDERS)];
        let wide = &mut wide[..2 * length];
        self.load_samples(tile, inputs, channels, (reading, phases), to, |view, plane, rows, to| {
            let from = &view.values[(plane * height + 2 * rows.y) * width..][..2 * rows.count * width];
            for (row, from) in from.chunks_exact(2 * width).enumerate() {
                for (lower, from) in from.chunks_exact(width).enumerate().take(phases.div_ceil(2)) {
                    E::widen(&from[2 * first..][..2 * length], wide);
                    let even = &mut to[2 * lower * reading.run + row * self.stride..];
                    // With one phase there is no place for the odd columns.
                    let (even, odd) = even.split_at_mut(if phases == 1 { self.stride } else { reading.run });
                    let odd = if phases == 1 { None } else { Some(&mut odd[..self.stride]) };
                    run(Split { wide, even: &mut even[..self.stride], odd });
                }
            }
        });
    }

    /// Reads some phases of channels: `widen` writes the values of a view's plane, with zeros between, to some rows of a tile,
    /// the phases a run apart. Then the view's affine and activation are applied, and what is around rows is zeroed.
    fn load_samples<E: Element>(
        &self,
        tile: Tile,
        inputs: &[View<'_, E>],
        channels: Range<usize>,
        (Reading { border, run }, phases): (Reading, usize),
        to: &mut [f32],
        mut widen: impl FnMut(&View<'_, E>, usize, Rows, &mut [f32]),
    ) {
        let Columns { length, start, .. } = self.columns(tile, border);
        let mut targets = to.chunks_exact_mut(phases * run);
        let mut base = 0;
        for view in inputs {
            for channel in channels.start.max(base)..channels.end.min(base + view.channels) {
                let Some(to) = targets.next() else { return };
                let mut end = 0;
                for rows in self.samples(tile, border) {
                    let plane = rows.sample * view.channels + channel - base;
                    let first = rows.row * self.stride + start;
                    widen(view, plane, rows, &mut to[first..]);
                    let part = first..first + (rows.count - 1) * self.stride + length;
                    for to in to.chunks_exact_mut(run) {
                        to[end..first].fill(0.0);
                        let to = &mut to[part.clone()];
                        // All rows at once, as they are short; so what is between them is zeroed again.
                        if activate(view, plane, to) {
                            to.chunks_mut(self.stride).for_each(|row| row[length..].fill(0.0));
                        }
                    }
                    end = part.end;
                }
                to.chunks_exact_mut(run).for_each(|to| to[end..].fill(0.0));
            }
            base += view.channels;
        }
    }

    /// The columns that are read for each row of a tile.
    fn columns(&self, tile: Tile, border: Border) -> Columns {
        // What is left and right of the tile's columns within the map.
        let before = tile.left.min(border.before);
        let after = (self.area.width - tile.left - tile.columns).min(border.after);
        Columns { first: tile.left - before, length: before + tile.columns + after, start: border.before - before }
    }
}

/// Columns of a map, and where they start in a row of a tile.
#[derive(Clone, Copy)]
struct Columns {
    first: usize,
    length: usize,
    start: usize,
}

/// Applies what a view's plane is read through, if anything.
fn activate<E>(view: &View<'_, E>, plane: usize, values: &mut [f32]) -> bool {
    let any = view.affine.is_some() || view.activation != Activation::Identity;
    if any {
        run(Activate { values, affine: view.affine.map(|affine| affine[plane]), activation: view.activation });
    }
    any
}

/// `activation(scale * x + shift)`.
struct Activate<'a> {
    values: &'a mut [f32],
    affine: Option<[f32; 2]>,
    activation: Activation,
}

impl Kernel for Activate<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        match self.affine {
            Some([scale, shift]) => self.activation.apply_after(self.values, |x| scale * x + shift),
            None => self.activation.apply_after(self.values, |x| x),
        }
    }
}

/// Even and odd columns of a row, with zeros after them.
struct Split<'a> {
    wide: &'a [f32],
    even: &'a mut [f32],
    odd: Option<&'a mut [f32]>,
}

impl Kernel for Split<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        let pairs = self.wide.as_chunks::<2>().0;
        let (even, gap) = self.even.split_at_mut(pairs.len());
        gap.fill(0.0);
        if let Some(odd) = self.odd {
            let (odd, gap) = odd.split_at_mut(pairs.len());
            gap.fill(0.0);
            for ((even, odd), pair) in even.iter_mut().zip(odd).zip(pairs) {
                [*even, *odd] = *pair;
            }
        } else {
            even.iter_mut().zip(pairs).for_each(|(even, pair)| *even = pair[0]);
        }
    }
}
