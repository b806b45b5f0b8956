//! Which pixels a kernel's taps read, as offsets within tiles.
//!
//! A map of stride 2 is treated as four phases: phase `(i, j)` has the pixels `(2y + i, 2x + j)`. Then neighbouring outputs
//! read neighbouring pixels of a phase, whatever the stride, and a tap is a phase and a constant offset.

use super::geometry::Geometry;

/// One tap.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tap {
    /// Its index in the kernel's weights.
    pub(super) weight: usize,
    /// The phase it reads.
    pub(super) phase: usize,
    /// Where it reads, in rows and columns from the top left corner of a tile's border.
    pub(super) row: usize,
    pub(super) column: usize,
}

/// How inputs are laid out in scratch memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Phases per input.
    pub(super) phases: usize,
    /// Distance from one phase to the next.
    pub(super) run: usize,
    /// Distance from one row to the next.
    pub(super) stride: usize,
}

/// The taps that add to one phase of the output map, in the order in which they are added.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Taps {
    taps: [Tap; 9],
    count: usize,
}

impl Taps {
    pub(super) fn as_slice(&self) -> &[Tap] {
        &self.taps[..self.count]
    }

    fn push(&mut self, tap: Tap) {
        self.taps[self.count] = tap;
        self.count += 1;
    }
}

/// The offsets that the taps of a number of inputs read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    places: [usize; Self::MOST],
    /// Offsets per input.
    each: usize,
    /// Number of consecutive taps that read neighbouring pixels, 3 or 1. Only the first of them has an offset.
    pub(super) neighbours: usize,
}

impl Places {
    /// Maximum of inputs times taps.
    pub(super) const MOST: usize = 9 * 48;

    pub(super) fn new(taps: &Taps, inputs: usize, layout: Layout) -> Self {
        let Layout { phases, run, stride } = layout;
        let taps = taps.as_slice();
        let (threes, rest) = taps.as_chunks::<3>();
        let adjacent = |taps: &[Tap; 3]| {
            let [a, b, c] = taps.map(|tap| (tap.phase, tap.row, tap.column));
            (a.0, a.1, a.2 + 1) == b && (b.0, b.1, b.2 + 1) == c
        };
        let neighbours = if rest.is_empty() && threes.iter().all(adjacent) { 3 } else { 1 };
        let each = taps.len() / neighbours;
        let mut places = [0; Self::MOST];
        for (input, places) in places[..inputs * each].chunks_mut(each.max(1)).enumerate() {
            for (place, tap) in places.iter_mut().zip(taps.iter().step_by(neighbours)) {
                *place = (input * phases + tap.phase) * run + tap.row * stride + tap.column;
            }
        }
        Self { places, each, neighbours }
    }

    /// For each of the first `inputs` inputs and each of its taps, the offset that a tile's first pixel reads.
    pub(super) fn of(&self, inputs: usize) -> &[usize] {
        &self.places[..inputs * self.each]
    }
}

/// Rows and columns around a tile that taps reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Border {
    pub(super) before: usize,
    pub(super) after: usize,
}

impl Border {
    pub(super) const NONE: Self = Self { before: 0, after: 0 };

    /// The smallest border that holds all the offsets.
    fn around(offsets: impl Iterator<Item = isize>) -> Self {
        offsets.fold(Self::NONE, |Self { before, after }, offset| Self {
            before: before.max((-offset).max(0) as usize),
            after: after.max(offset.max(0) as usize),
        })
    }

    pub(super) fn both(self) -> usize {
        self.before + self.after
    }

    /// Rows needed between two samples, which share them.
    pub(super) fn larger(self) -> usize {
        self.before.max(self.after)
    }
}

/// A convolution or its input gradient: each phase of the output map is a sum over taps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pattern {
    /// Phases along a side of the input map.
    pub(super) read: usize,
    /// How many of those phases are read: 1 or all.
    pub(super) phases: usize,
    pub(super) border: Border,
    /// Phases along a side of the output map.
    pub(super) written: usize,
    parts: [Taps; 4],
}

impl Pattern {
    /// For tap `k`, output `p` reads pixel `stride * p + dilation * k - padding` of the input, along each side.
    pub(super) fn forward(geometry: Geometry) -> Self {
        let Geometry { size, stride, dilation } = geometry;
        let reach = |k: usize| {
            let pixel = (dilation * k) as isize - geometry.padding() as isize;
            (pixel.rem_euclid(stride as isize) as usize, pixel.div_euclid(stride as isize))
        };
        let border = Border::around((0..size).map(|k| reach(k).1));
        let place = |k: usize| (reach(k).0, (reach(k).1 + border.before as isize) as usize);
        let mut taps = Taps::default();
        for weight in 0..geometry.taps() {
            let ((i, row), (j, column)) = (place(weight / size), place(weight % size));
            taps.push(Tap { weight, phase: i * stride + j, row, column });
        }
        let phases = if size == 1 { 1 } else { stride * stride };
        Self { read: stride, phases, border, written: 1, parts: [taps, Taps::default(), Taps::default(), Taps::default()] }
    }

    /// The gradient of the input's pixel `stride * p + phase` reads the upstream at
    /// `p + (phase + padding - dilation * k) / stride` for each tap `k` for which that is whole, along each side.
    pub(super) fn backward(geometry: Geometry) -> Self {
        let Geometry { size, stride, dilation } = geometry;
        let reach = |k: usize, phase: usize| {
            let pixel = (phase + geometry.padding()) as isize - (dilation * k) as isize;
            (pixel % stride as isize == 0).then_some(pixel / stride as isize)
        };
        let border = Border::around((0..size * stride).filter_map(|n| reach(n / stride, n % stride)));
        let place = |k: usize, phase: usize| reach(k, phase).map(|pixel| (pixel + border.before as isize) as usize);
        let mut parts = [Taps::default(); 4];
        for (phase, taps) in parts.iter_mut().enumerate().take(stride * stride) {
            // Backwards, so that offsets ascend.
            for weight in (0..geometry.taps()).rev() {
                let (row, column) = (place(weight / size, phase / stride), place(weight % size, phase % stride));
                if let (Some(row), Some(column)) = (row, column) {
                    taps.push(Tap { weight, phase: 0, row, column });
                }
            }
        }
        Self { read: 1, phases: 1, border, written: stride, parts }
    }

    /// The taps into the phases of the output map. Phases after these get no taps and are zero.
    pub(super) fn parts(&self) -> &[Taps] {
        let filled = self.parts.iter().take_while(|taps| taps.count > 0).count();
        &self.parts[..filled]
    }

    /// The taps of a forward pattern, whose output has one phase.
    pub(super) fn taps(&self) -> &Taps {
        &self.parts[0]
    }

    /// Maximum taps that add to one phase.
    pub(super) fn most_taps(&self) -> usize {
        self.parts.iter().map(|taps| taps.count).max().unwrap_or(0)
    }
}
