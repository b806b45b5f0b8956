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

/// The moments over a column of one of a cube's `groups`, each of `width` columns and `height` rows of neighbouring units, from
/// those of its units. All units of the column get them. `height` is a power of two.
#[cube]
pub(super) fn column_moments<N: Size>(
    own: &Moments<N>,
    #[comptime] width: usize,
    #[comptime] height: usize,
    #[comptime] groups: usize,
) -> Moments<N> {
    let all = comptime!(width * height * groups);
    let mut counts = Shared::<[f32]>::new_slice(all);
    let mut means = Shared::<[Vector<f32, N>]>::new_slice(all);
    let mut squares = Shared::<[Vector<f32, N>]>::new_slice(all);
    let me = UNIT_POS as usize;
    let place = me % comptime!(width * height);
    counts[me] = own.count;
    means[me] = own.mean;
    squares[me] = own.squares;
    sync_cube();
    let mut half = (height / 2).runtime();
    while half > 0 {
        if place < half * width {
            let other = me + half * width;
            let left = moments::<N>(counts[me], means[me], squares[me]);
            let right = moments::<N>(counts[other], means[other], squares[other]);
            let both = merge_two::<N>(&left, &right);
            counts[me] = both.count;
            means[me] = both.mean;
            squares[me] = both.squares;
        }
        sync_cube();
        half /= 2;
    }
    let column = me - place + place % width;
    moments::<N>(counts[column], means[column], squares[column])
}
