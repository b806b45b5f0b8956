//! What an optimizer's step does to a tensor, at once and in place; and the squares of its gradients.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::Result;
use pipeline_kernels::{AdamNumbers, AdamStep};

use super::channels::add_columns;
use super::lines::{Values, addresses, dense, float32, spread, tensor};

/// Units that add up a piece of a gradient's squares.
const UNITS: usize = 256;

/// At most so many pieces a gradient is cut into.
const PIECES: usize = 64;

/// As `pipeline_kernels::adam` does it, which says where it comes from.
#[cube(launch, address_type = "dynamic")]
fn adam_kernel(
    weight: &mut Tensor<f32>,
    gradient: &Tensor<f32>,
    first: &mut Tensor<f32>,
    second: &mut Tensor<f32>,
    units: usize,
    factor: f32,
    pull: f32,
    shrink: f32,
    keep1: f32,
    take1: f32,
    keep2: f32,
    take2: f32,
    root: f32,
    eps: f32,
    rate: f32,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let w = weight[ABSOLUTE_POS];
    let g = gradient[ABSOLUTE_POS] * factor + w * pull;
    let m = first[ABSOLUTE_POS] * keep1 + g * take1;
    let v = second[ABSOLUTE_POS] * keep2 + g * g * take2;
    first[ABSOLUTE_POS] = m;
    second[ABSOLUTE_POS] = v;
    weight[ABSOLUTE_POS] = w * shrink - m / (f32::sqrt(v) / root + eps) * rate;
}

/// The sum of squares of a piece of a gradient.
#[cube(launch, address_type = "dynamic")]
fn squares_kernel(
    gradient: &Tensor<f32>,
    sums: &mut Tensor<f32>,
    values: usize,
    place: usize,
    pieces: usize,
    #[comptime] units: usize,
) {
    let me = UNIT_POS_X as usize;
    let piece = CUBE_POS_X as usize;
    let mut sum = 0.0f32;
    let mut at = piece * units + me;
    while at < values {
        let value = gradient[at];
        sum += value * value;
        at += pieces * units;
    }
    let mut all = Shared::<[Vector<f32, Const<1>>]>::new_slice(units);
    all[me] = Vector::new(sum);
    add_columns::<Const<1>>(&mut all, me, 1usize, units);
    if me == 0 {
        sums[place + piece] = all[0usize].extract(0usize);
    }
}

/// A tensor that nobody else holds.
fn own(tensor: CubeTensor) -> CubeTensor {
    if tensor.can_mut() { tensor } else { tensor.copy() }
}

/// A step of Adam: the weights and both running means after it.
pub(in super::super) fn adam(
    step: &AdamStep,
    weight: Values<1>,
    gradient: Values<1>,
    means: [Values<1>; 2],
) -> Result<(Values<1>, [Values<1>; 2])> {
    let AdamNumbers { factor, pull, shrink, first: kept1, second: kept2, root, eps, rate } = step.numbers();
    let (weight, gradient) = (own(dense(weight)?), dense(gradient)?);
    let [first, second] = means;
    let (first, second) = (own(dense(first)?), own(dense(second)?));
    let units = weight.meta.num_elements();
    let (count, dim) = spread(&weight, units);
    adam_kernel::launch(
        &weight.client,
        count,
        dim,
        addresses(&[&weight]),
        weight.clone().into_tensor_arg(),
        gradient.into_tensor_arg(),
        first.clone().into_tensor_arg(),
        second.clone().into_tensor_arg(),
        units,
        factor,
        pull,
        shrink,
        kept1[0],
        kept1[1],
        kept2[0],
        kept2[1],
        root,
        eps,
        rate,
    );
    Ok((tensor(weight), [tensor(first), tensor(second)]))
}

/// The squares of all gradients, summed over some pieces of each: `[gradients * 64]`.
pub(in super::super) fn squares(gradients: &[Values<1>]) -> Result<Option<Values<1>>> {
    let gradients = gradients.iter().map(|gradient| dense(gradient.clone())).collect::<Result<Vec<_>>>()?;
    let Some(like) = gradients.first() else { return Ok(None) };
    let sums = float32(like, [gradients.len() * PIECES]);
    for (slot, gradient) in gradients.iter().enumerate() {
        squares_kernel::launch(
            &gradient.client,
            CubeCount::Static(PIECES as u32, 1, 1),
            CubeDim::new_1d(UNITS as u32),
            addresses(&[gradient]),
            gradient.clone().into_tensor_arg(),
            sums.clone().into_tensor_arg(),
            gradient.meta.num_elements(),
            slot * PIECES,
            PIECES,
            UNITS,
        );
    }
    Ok(Some(tensor(sums)))
}
