//! Mean and sum of squared deviations, and how parts are merged.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

/// The number of values seen, their mean and the sum of their squared deviations. A plain sum of squares would lose the variance
/// of a channel whose mean is far from zero.
#[derive(CubeType)]
pub(super) struct Moments<N: Size> {
    pub count: f32,
    pub mean: Vector<f32, N>,
    pub squares: Vector<f32, N>,
}

#[cube]
pub(super) fn moments<N: Size>(count: f32, mean: Vector<f32, N>, squares: Vector<f32, N>) -> Moments<N> {
    Moments::<N> { count, mean, squares }
}

/// The moments of two parts combined (Chan, Golub and LeVeque, 1979).
#[cube]
pub(super) fn merge_two<N: Size>(left: &Moments<N>, right: &Moments<N>) -> Moments<N> {
    let count = left.count + right.count;
    let share = right.count / max(count, 1.0f32);
    let apart = right.mean - left.mean;
    Moments::<N> {
        count,
        mean: left.mean + apart * Vector::new(share),
        squares: left.squares + right.squares + apart * apart * Vector::new(left.count * share),
    }
}

/// Where a cube's units merge their moments: `groups` of neighbouring units, each of `width` columns and `height` rows. `height`
/// is a power of two.
#[derive(CubeType)]
pub(super) struct Columns<N: Size> {
    counts: Shared<[f32]>,
    means: Shared<[Vector<f32, N>]>,
    squares: Shared<[Vector<f32, N>]>,
    #[cube(comptime)]
    width: usize,
    #[cube(comptime)]
    height: usize,
}

#[cube]
impl<N: Size> Columns<N> {
    pub fn new(#[comptime] width: usize, #[comptime] height: usize, #[comptime] groups: usize) -> Self {
        let all = comptime!(width * height * groups);
        Columns::<N> {
            counts: Shared::<[f32]>::new_slice(all),
            means: Shared::<[Vector<f32, N>]>::new_slice(all),
            squares: Shared::<[Vector<f32, N>]>::new_slice(all),
            width,
            height,
        }
    }

    /// The moments over a column, from those of its units. All units of the column get them.
    pub fn merge(&mut self, own: &Moments<N>) -> Moments<N> {
        let (width, height) = comptime!((self.width, self.height));
        let me = UNIT_POS as usize;
        let place = me % comptime!(width * height);
        self.counts[me] = own.count;
        self.means[me] = own.mean;
        self.squares[me] = own.squares;
        sync_cube();
        let mut half = (height / 2).runtime();
        while half > 0 {
            if place < half * width {
                let other = me + half * width;
                let left = moments::<N>(self.counts[me], self.means[me], self.squares[me]);
                let right = moments::<N>(self.counts[other], self.means[other], self.squares[other]);
                let both = merge_two::<N>(&left, &right);
                self.counts[me] = both.count;
                self.means[me] = both.mean;
                self.squares[me] = both.squares;
            }
            sync_cube();
            half /= 2;
        }
        let column = me - place + place % width;
        let all = moments::<N>(self.counts[column], self.means[column], self.squares[column]);
        sync_cube();
        all
    }
}

/// The same, once.
#[cube]
pub(super) fn column_moments<N: Size>(
    own: &Moments<N>,
    #[comptime] width: usize,
    #[comptime] height: usize,
    #[comptime] groups: usize,
) -> Moments<N> {
    let mut columns = Columns::<N>::new(width, height, groups);
    columns.merge(own)
}
