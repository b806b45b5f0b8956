//! The adjoint of the soft skeleton: from the derivative with respect to each of its pixels to the derivative with respect
//! to the plane's.
//!
//! One minus the skeleton is the product of `1 - d` over the erosions, so the derivative with respect to one `d` is the
//! product of the others. A minimum or maximum passes its upstream to the value that PyTorch's `max_pool2d` picks, the first
//! of several equal ones. For the smaller of a column's and a row's minimum, a tie splits the upstream in halves, as in
//! `torch.minimum`.

use super::{Grid, max, min, rows};
use crate::dispatch::Kernel;

/// Lower bound for `1 - d`, so that one factor can be divided out of the product. Half of float32's epsilon.
const LEAST: f32 = f32::EPSILON / 2.0;

/// Computes the derivative with respect to the plane. `memory` has [`Grid::adjoint`] values: the plane, of which only the
/// rows must be filled, then `iterations + 1` work planes, then the derivative with respect to the skeleton (rows only),
/// then more work space. The derivative with respect to the plane is left in the first.
pub(in crate::loss) struct Adjoint<'a> {
    pub grid: Grid,
    pub iterations: usize,
    pub memory: &'a mut [f32],
}

impl Kernel for Adjoint<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { grid, iterations, memory } = self;
        let size = grid.plane();
        let (eroded, memory) = memory.split_at_mut((iterations + 2) * size);
        let (upstream, memory) = memory.split_at_mut(size);
        let (mut gradient, memory) = memory.split_at_mut(size);
        let (mut other, memory) = memory.split_at_mut(size);
        let (found, memory) = memory.split_at_mut(size);
        let (maxima, shifted) = memory.split_at_mut(size);
        let mut shifted = Shifted::new(grid, shifted);
        grid.pad(&mut eroded[..size]);
        for step in 0..=iterations {
            let (x, next) = eroded[step * size..].split_at_mut(size);
            let next = &mut next[..size];
            grid.erode(x, next);
            grid.row_maxima(next, maxima);
            shrink(grid, x, maxima, upstream);
        }
        gradient.fill(0.0);
        for step in (0..=iterations).rev() {
            let (x, next) = (&eroded[step * size..][..size], &eroded[(step + 1) * size..][..size]);
            grid.row_maxima(next, maxima);
            other.fill(0.0);
            open_columns(grid, x, maxima, upstream, found, other);
            open_rows(grid, next, maxima, other, gradient, &mut shifted);
            grid.fold(gradient);
            other.fill(0.0);
            erode(grid, x, gradient, other, &mut shifted);
            grid.fold(other);
            for y in 0..grid.height {
                add(&mut other[grid.row(y)], &found[grid.row(y)]);
            }
            std::mem::swap(&mut gradient, &mut other);
        }
        eroded[..size].copy_from_slice(gradient);
    }
}

/// Multiplies the upstream by `1 - d`.
#[inline(always)]
fn shrink(grid: Grid, x: &[f32], maxima: &[f32], upstream: &mut [f32]) {
    for y in 1..=grid.height {
        let ([up, at, down], [_, x, _]) = (rows(maxima, grid, y), rows(x, grid, y));
        let upstream = &mut upstream[grid.row(y - 1)];
        for i in 0..grid.width {
            upstream[i] *= max(1.0 - max(x[i] - max(max(up[i], at[i]), down[i]), 0.0), LEAST);
        }
    }
}

/// Computes the derivative with respect to `d` (`found`), and with respect to the row maxima.
#[inline(always)]
fn open_columns(grid: Grid, x: &[f32], maxima: &[f32], upstream: &[f32], found: &mut [f32], to: &mut [f32]) {
    let n = grid.width;
    for y in 1..=grid.height {
        let ([up, at, down], [_, x, _], [_, upstream, _]) = (rows(maxima, grid, y), rows(x, grid, y), rows(upstream, grid, y));
        let (found, [above, here, below]) = (&mut found[grid.row(y - 1)], rows_mut(to, grid, y));
        for i in 0..n {
            let opened = max(max(up[i], at[i]), down[i]);
            let d = x[i] - opened;
            let slope = if d > 0.0 { upstream[i] / max(1.0 - d, LEAST) } else { 0.0 };
            let (to_up, to_here) = (up[i] == opened, (up[i] != opened) & (at[i] == opened));
            found[i] = slope;
            above[i] -= if to_up { slope } else { 0.0 };
            here[i] -= if to_here { slope } else { 0.0 };
            below[i] -= if to_up | to_here { 0.0 } else { slope };
        }
    }
}

/// Adds the derivative with respect to the values whose row maxima are `maxima`.
#[inline(always)]
fn open_rows(grid: Grid, from: &[f32], maxima: &[f32], upstream: &[f32], to: &mut [f32], shifted: &mut Shifted<'_>) {
    let (stride, n) = (grid.stride(), grid.width);
    for y in 0..grid.height + 2 {
        let start = y * stride;
        let (left, centre) = (&from[start..][..n], &from[start + 1..][..n]);
        let (maxima, upstream) = (&maxima[start + 1..][..n], &upstream[start + 1..][..n]);
        let [to_left, to_here, to_right] = shifted.rows(n);
        for i in 0..n {
            let is_left = left[i] == maxima[i];
            let is_here = !is_left & (centre[i] == maxima[i]);
            to_left[i] = if is_left { upstream[i] } else { 0.0 };
            to_here[i] = if is_here { upstream[i] } else { 0.0 };
            to_right[i] = if is_left | is_here { 0.0 } else { upstream[i] };
        }
        shifted.add(&mut to[start..][..stride]);
    }
}

/// Adds the derivative with respect to the eroded values.
#[inline(always)]
fn erode(grid: Grid, from: &[f32], upstream: &[f32], to: &mut [f32], shifted: &mut Shifted<'_>) {
    let (stride, n) = (grid.stride(), grid.width);
    for y in 1..=grid.height {
        let ([up, centre, down], [_, upstream, _]) = (rows(from, grid, y), rows(upstream, grid, y));
        let (left, right) = (&from[y * stride..][..n], &from[y * stride + 2..][..n]);
        let [to_left, to_here, to_right] = shifted.rows(n);
        let [above, _, below] = rows_mut(to, grid, y);
        for i in 0..n {
            let (column, row) = (min(min(up[i], centre[i]), down[i]), min(min(left[i], centre[i]), right[i]));
            let share = if column == row { 0.5 } else { 1.0 };
            let by_column = if column <= row { share * upstream[i] } else { 0.0 };
            let by_row = if row <= column { share * upstream[i] } else { 0.0 };
            let (is_up, is_left) = (up[i] == column, left[i] == row);
            let (middle, centred) = (!is_up & (centre[i] == column), !is_left & (centre[i] == row));
            above[i] += if is_up { by_column } else { 0.0 };
            below[i] += if is_up | middle { 0.0 } else { by_column };
            to_left[i] = if is_left { by_row } else { 0.0 };
            to_right[i] = if is_left | centred { 0.0 } else { by_row };
            to_here[i] = if middle { by_column } else { 0.0 } + if centred { by_row } else { 0.0 };
        }
        shifted.add(&mut to[y * stride..][..stride]);
    }
}

#[inline(always)]
fn add(into: &mut [f32], x: &[f32]) {
    for (into, x) in into.iter_mut().zip(x) {
        *into += x;
    }
}

#[inline(always)]
fn rows_mut(plane: &mut [f32], grid: Grid, y: usize) -> [&mut [f32]; 3] {
    let (stride, n) = (grid.stride(), grid.width);
    let (above, rest) = plane[(y - 1) * stride..].split_at_mut(stride);
    let (here, below) = rest.split_at_mut(stride);
    [&mut above[1..][..n], &mut here[1..][..n], &mut below[1..][..n]]
}

/// What the pixels of a row pass to their left neighbour, to themselves and to their right neighbour: three rows padded with
/// zeros.
struct Shifted<'a> {
    values: &'a mut [f32],
    length: usize,
}

impl<'a> Shifted<'a> {
    #[inline(always)]
    fn new(grid: Grid, memory: &'a mut [f32]) -> Self {
        let length = grid.width + 4;
        let values = &mut memory[..3 * length];
        values.fill(0.0);
        Self { values, length }
    }

    #[inline(always)]
    fn rows(&mut self, n: usize) -> [&mut [f32]; 3] {
        let (left, rest) = self.values.split_at_mut(self.length);
        let (here, right) = rest.split_at_mut(self.length);
        [&mut left[2..][..n], &mut here[2..][..n], &mut right[2..][..n]]
    }

    /// Adds the three rows to a row with its border.
    #[inline(always)]
    fn add(&self, row: &mut [f32]) {
        let n = row.len();
        let (left, here, right) =
            (&self.values[2..][..n], &self.values[self.length + 1..][..n], &self.values[2 * self.length..][..n]);
        for i in 0..n {
            row[i] += here[i] + (left[i] + right[i]);
        }
    }
}
