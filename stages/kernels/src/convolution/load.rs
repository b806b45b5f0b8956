//! Reading tiles of maps into scratch memory.

use super::lanes::{Kernel, Lanes, run};
use super::tile::{Cut, Tile, WIDEST};
use crate::{Activation, Element, View};
use std::ops::Range;

/// The most rows or columns of a border.
const MARGIN: usize = 2;

/// What a tile is read with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// Rows and columns of the border, which is zero outside of the map: none, or the cut's margin.
    pub(super) border: usize,
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
        Reading { border, run }: Reading,
        to: &mut [f32],
    ) {
        let columns = self.columns(tile, border);
        let width = self.area.width;
        each_plane(inputs, channels, to.chunks_exact_mut(run), |view, channel, to| {
            let mut end = 0;
            self.sample_rows(tile, border, |row, sample, y| {
                let start = row * self.stride + columns.start;
                to[end..start].fill(0.0);
                end = start + columns.length;
                let place = sample * view.channels + channel;
                let source = &view.values[(place * self.area.height + y) * width + columns.first..][..columns.length];
                read(view, place, source, &mut to[start..end]);
            });
            to[end..].fill(0.0);
        });
    }

    /// Reads phases of channels of views of twice the cut's sides: all four, in a run each, or only the first.
    pub(super) fn load_phases<E: Element>(
        &self,
        tile: Tile,
        inputs: &[View<'_, E>],
        channels: Range<usize>,
        Reading { border, run }: Reading,
        phases: usize,
        to: &mut [f32],
    ) {
        let columns = self.columns(tile, border);
        let (height, width) = (2 * self.area.height, 2 * self.area.width);
        let mut wide = [0.0; 2 * (WIDEST + 2 * MARGIN)];
        let wide = &mut wide[..2 * columns.length];
        each_plane(inputs, channels, to.chunks_exact_mut(phases * run), |view, channel, to| {
            let mut end = 0;
            self.sample_rows(tile, border, |row, sample, y| {
                let start = row * self.stride + columns.start;
                to.chunks_exact_mut(run).for_each(|to| to[end..start].fill(0.0));
                end = start + columns.length;
                let place = sample * view.channels + channel;
                for (lower, to) in to.chunks_mut(2 * run).enumerate() {
                    let source = &view.values[(place * height + 2 * y + lower) * width + 2 * columns.first..][..wide.len()];
                    read(view, place, source, wide);
                    let (even, odd) = to.split_at_mut(run);
                    // Without a second phase there is no place for the odd columns.
                    let odd = if odd.is_empty() { None } else { Some(&mut odd[start..end]) };
                    super::lanes::run(Split { wide, even: &mut even[start..end], odd });
                }
            });
            to.chunks_exact_mut(run).for_each(|to| to[end..].fill(0.0));
        });
    }

    /// The columns that are read for each row of a tile.
    fn columns(&self, tile: Tile, border: usize) -> Columns {
        // What is left and right of the tile's columns within the map.
        let before = tile.left.min(border);
        let after = (self.area.width - tile.left - tile.columns).min(border);
        Columns { first: tile.left - before, length: before + tile.columns + after, start: border - before }
    }
}

/// Columns of a map, and where they start in a row of a tile.
#[derive(Clone, Copy)]
struct Columns {
    first: usize,
    length: usize,
    start: usize,
}

/// Calls for some channels of all views, with the view, the channel within it and the channel's part of the target.
fn each_plane<'a, 't, E>(
    inputs: &[View<'a, E>],
    channels: Range<usize>,
    mut targets: impl Iterator<Item = &'t mut [f32]>,
    mut each: impl FnMut(&View<'a, E>, usize, &mut [f32]),
) {
    let mut base = 0;
    for view in inputs {
        for channel in channels.start.max(base)..channels.end.min(base + view.channels) {
            let Some(to) = targets.next() else { return };
            each(view, channel - base, to);
        }
        base += view.channels;
    }
}

/// Reads a part of a row of one of the view's planes.
fn read<E: Element>(view: &View<'_, E>, plane: usize, from: &[E], to: &mut [f32]) {
    E::widen(from, to);
    if view.affine.is_some() || view.activation != Activation::Identity {
        run(Activate { values: to, affine: view.affine.map(|affine| affine[plane]), activation: view.activation });
    }
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

/// Even and odd columns of a row.
struct Split<'a> {
    wide: &'a [f32],
    even: &'a mut [f32],
    odd: Option<&'a mut [f32]>,
}

impl Kernel for Split<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        let pairs = self.wide.as_chunks::<2>().0;
        match self.odd {
            Some(odd) => {
                for ((even, odd), pair) in self.even.iter_mut().zip(odd).zip(pairs) {
                    [*even, *odd] = *pair;
                }
            }
            None => self.even.iter_mut().zip(pairs).for_each(|(even, pair)| *even = pair[0]),
        }
    }
}
