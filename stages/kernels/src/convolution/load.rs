//! Reading tiles of maps into scratch memory.

use super::each::Wide;
use super::lanes::{Kernel, Lanes};
use super::run;
use super::taps::Border;
use super::tile::{Cut, Tile, WIDEST};
use crate::{Activation, Area, Element, View};
use std::ops::Range;

/// Maximum columns of both borders together.
const BORDERS: usize = 4;

/// How a tile is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// No border, or the cut's border. It is zero outside the map.
    pub(super) border: Border,
    /// Distance from one channel's or phase's run to the next.
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
        let Area { height, width, .. } = self.area;
        each_channel(inputs, channels, to.chunks_exact_mut(run), |view, channel, to| {
            let mut end = 0;
            self.sample_rows(tile, border, |row, sample, y| {
                let start = row * self.stride + columns.start;
                to[end..start].fill(0.0);
                end = start + columns.length;
                let plane = sample * view.channels + channel;
                let from = &view.values[(plane * height + y) * width + columns.first..][..columns.length];
                read(view, plane, from, &mut to[start..end]);
            });
            to[end..].fill(0.0);
        });
    }

    /// Reads phases of channels of views whose sides are twice the cut's: all four phases, each into its own run, or only
    /// the first.
    pub(super) fn load_phases<E: Element>(
        &self,
        tile: Tile,
        inputs: &[View<'_, E>],
        channels: Range<usize>,
        (Reading { border, run }, phases): (Reading, usize),
        to: &mut [f32],
    ) {
        let columns = self.columns(tile, border);
        let (height, width) = (2 * self.area.height, 2 * self.area.width);
        let mut wide = [0.0; 2 * (WIDEST + BORDERS)];
        let wide = &mut wide[..2 * columns.length];
        each_channel(inputs, channels, to.chunks_exact_mut(phases * run), |view, channel, to| {
            let mut end = 0;
            self.sample_rows(tile, border, |row, sample, y| {
                let start = row * self.stride + columns.start;
                to.chunks_exact_mut(run).for_each(|to| to[end..start].fill(0.0));
                end = start + columns.length;
                let plane = sample * view.channels + channel;
                for (lower, to) in to.chunks_mut(2 * run).enumerate() {
                    let from = (plane * height + 2 * y + lower) * width + 2 * columns.first;
                    read(view, plane, &view.values[from..][..wide.len()], wide);
                    let (even, odd) = to.split_at_mut(run);
                    // With one phase there is nowhere to put the odd columns.
                    let odd = odd.get_mut(start..end);
                    run::run(Split { wide, even: &mut even[start..end], odd });
                }
            });
            to.chunks_exact_mut(run).for_each(|to| to[end..].fill(0.0));
        });
    }

    /// The columns that are read for each row of a tile.
    fn columns(&self, tile: Tile, border: Border) -> Columns {
        // The columns left and right of the tile that lie within the map.
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

/// Calls `each` for a range of the channels of all views, with the view, the channel within it and the channel's part of the
/// target.
fn each_channel<'a, 't, E>(
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
#[inline]
fn read<E: Element>(view: &View<'_, E>, plane: usize, from: &[E], to: &mut [f32]) {
    E::widen(from, to);
    match (view.affine.map(|affine| affine[plane]), view.activation) {
        (Some([scale, shift]), activation) => activation.apply_after(Wide(to), |x| scale * x + shift),
        (None, Activation::Identity) => {}
        (None, activation) => activation.apply_after(Wide(to), |x| x),
    }
}

/// The even and odd columns of a row.
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
