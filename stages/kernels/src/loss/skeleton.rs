//! The soft skeleton of a small plane, and its adjoint. Pixels outside the plane don't count.
//!
//! A plane has a border of one pixel that repeats its edge: this changes neither minima nor maxima, and spares the loops
//! special cases.

mod adjoint;

pub(super) use adjoint::Adjoint;

use crate::dispatch::Kernel;

/// The size of a plane without its border.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    pub height: usize,
    pub width: usize,
}

/// Number of planes that [`Skeleton`] works on.
pub(super) const SKELETON_PLANES: usize = 4;

impl Grid {
    fn stride(self) -> usize {
        self.width + 2
    }

    /// Values per plane, including its border.
    pub fn plane(self) -> usize {
        (self.height + 2) * self.stride()
    }

    /// Number of values that [`Adjoint`] works on.
    pub fn adjoint(self, iterations: usize) -> usize {
        (iterations + 7) * self.plane() + 3 * (self.width + 4)
    }

    /// The range of row `y`, without its border.
    pub fn row(self, y: usize) -> std::ops::Range<usize> {
        let start = (y + 1) * self.stride() + 1;
        start..start + self.width
    }

    /// Fills the border.
    #[inline(always)]
    fn pad(self, plane: &mut [f32]) {
        let (stride, rows) = (self.stride(), self.height);
        for row in plane[stride..].chunks_exact_mut(stride).take(rows) {
            row[0] = row[1];
            row[stride - 1] = row[stride - 2];
        }
        plane.copy_within(stride..2 * stride, 0);
        plane.copy_within(rows * stride..(rows + 1) * stride, (rows + 1) * stride);
    }

    /// The adjoint of [`Self::pad`]: adds the border to the edge, and clears it.
    #[inline(always)]
    fn fold(self, plane: &mut [f32]) {
        let (stride, rows) = (self.stride(), self.height);
        for (border, edge) in [(0, 1), (rows + 1, rows)] {
            for x in 0..stride {
                plane[edge * stride + x] += std::mem::take(&mut plane[border * stride + x]);
            }
        }
        for row in plane[stride..].chunks_exact_mut(stride).take(rows) {
            row[1] += std::mem::take(&mut row[0]);
            row[stride - 2] += std::mem::take(&mut row[stride - 1]);
        }
    }

    /// `to` = minimum over the pixel and its four neighbours; the border is written too.
    #[inline(always)]
    fn erode(self, from: &[f32], to: &mut [f32]) {
        let (stride, n) = (self.stride(), self.width);
        for y in 1..=self.height {
            let (up, down) = (&from[(y - 1) * stride + 1..][..n], &from[(y + 1) * stride + 1..][..n]);
            let row = &from[y * stride..][..stride];
            let (left, centre, right) = (&row[..n], &row[1..][..n], &row[2..][..n]);
            let to = &mut to[y * stride + 1..][..n];
            for x in 0..n {
                to[x] = min(min(min(up[x], down[x]), min(left[x], right[x])), centre[x]);
            }
        }
        self.pad(to);
    }

    /// `to` = maximum over the pixel and its left and right neighbours, in the border's rows too.
    #[inline(always)]
    fn row_maxima(self, from: &[f32], to: &mut [f32]) {
        let (stride, n) = (self.stride(), self.width);
        for (from, to) in from.chunks_exact(stride).zip(to.chunks_exact_mut(stride)) {
            let (left, centre, right, to) = (&from[..n], &from[1..][..n], &from[2..][..n], &mut to[1..][..n]);
            for x in 0..n {
                to[x] = max(max(left[x], centre[x]), right[x]);
            }
        }
    }
}

#[inline(always)]
fn min(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[inline(always)]
fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Three rows of a plane, each `width` values after its border: above, at, and below `y`.
#[inline(always)]
fn rows(plane: &[f32], grid: Grid, y: usize) -> [&[f32]; 3] {
    [y - 1, y, y + 1].map(|y| &plane[y * grid.stride() + 1..][..grid.width])
}

/// Makes the soft skeleton. `planes` holds the plane, of which only the rows must be filled, followed by three work planes.
/// The skeleton is left in the last one.
pub(super) struct Skeleton<'a> {
    pub grid: Grid,
    pub iterations: usize,
    pub planes: &'a mut [f32],
}

impl Kernel for Skeleton<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { grid, iterations, planes } = self;
        let size = grid.plane();
        let (mut x, planes) = planes.split_at_mut(size);
        let (mut eroded, planes) = planes.split_at_mut(size);
        let (maxima, skeleton) = planes.split_at_mut(size);
        let skeleton = &mut skeleton[..size];
        grid.pad(x);
        skeleton.fill(0.0);
        for _ in 0..=iterations {
            grid.erode(x, eroded);
            grid.row_maxima(eroded, maxima);
            for y in 1..=grid.height {
                let [up, at, down] = rows(maxima, grid, y);
                let x = &x[y * grid.stride() + 1..][..grid.width];
                let skeleton = &mut skeleton[y * grid.stride() + 1..][..grid.width];
                for i in 0..grid.width {
                    let found = max(x[i] - max(max(up[i], at[i]), down[i]), 0.0);
                    skeleton[i] += found * (1.0 - skeleton[i]);
                }
            }
            std::mem::swap(&mut x, &mut eroded);
        }
    }
}
