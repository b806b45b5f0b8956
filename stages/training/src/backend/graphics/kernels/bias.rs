//! The gradient of a bias.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use pipeline_contract::Result;

use super::channels::{Pieces, column_sum, fold_into};
use super::nhwc::{Nhwc, Values, addresses, float32, primitive, stored};

/// The sums of a map over a piece of an image.
#[cube(launch, address_type = "dynamic")]
fn sum_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    sums: &mut Tensor<Vector<f32, N>>,
    pieces: &Pieces,
    #[define(E)] _dtype: ElemType,
) {
    let share = pieces.share();
    let mut sum = Vector::<f32, N>::new(0.0f32);
    if share.vector < pieces.vectors {
        let base = pieces.base(&share);
        let mut at = share.start;
        while at < share.end {
            sum += Vector::cast_from(x[base + at * pieces.vectors]);
            at += comptime!(pieces.height);
        }
    }
    let sum = column_sum::<N>(sum, comptime!(pieces.width), comptime!(pieces.height));
    if pieces.writes(&share) {
        sums[pieces.place(&share)] = sum;
    }
}

/// Adds the gradient of a bias, the sums of a map `[batch, outputs, height, width]` over all its pixels, to its sum `[outputs]`.
pub(in super::super) fn bias(upstream: Values<4>, sum: Values<1>) -> Result<()> {
    let map = Nhwc::of(upstream)?;
    let vector_size = map.vector_size(&[]);
    let pieces = Pieces::of(&map, vector_size);
    let sums = float32(&map.tensor, [map.batch * pieces.pieces, map.channels]);
    let (count, dim) = pieces.launch(map.batch);
    sum_kernel::launch(
        &map.tensor.client,
        count,
        dim,
        addresses(&[&map.tensor]),
        vector_size,
        map.tensor.clone().into_tensor_arg(),
        sums.clone().into_tensor_arg(),
        pieces.arg(),
        stored(&map.tensor),
    );
    fold_into(&primitive(sum)?, sums, [1, map.batch * pieces.pieces, map.channels]);
    Ok(())
}
