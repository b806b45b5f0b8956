//! An optimizer step on one tensor, in place, and the squares of gradients.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use pipeline_contract::Result;
use pipeline_kernels::{AdamNumbers, AdamStep};

use super::channels::cube_sum;
use super::nhwc::{Values, addresses, dense, float32, owned, spread, tensor};

/// Units that sum the squares of one piece of a gradient.
const UNITS: usize = 256;

/// Pieces per gradient.
const PIECES: usize = 64;

/// The coefficients of an Adam step, as in [`AdamNumbers`].
#[derive(CubeType, CubeLaunch)]
struct Adam {
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
}

/// The same arithmetic as in `pipeline_kernels::adam`, which names its source.
#[cube(launch, address_type = "dynamic")]
fn adam_kernel(
    weight: &mut Tensor<f32>,
    gradient: &Tensor<f32>,
    first: &mut Tensor<f32>,
    second: &mut Tensor<f32>,
    units: usize,
    adam: &Adam,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let w = weight[ABSOLUTE_POS];
    let g = gradient[ABSOLUTE_POS] * adam.factor + w * adam.pull;
    let m = first[ABSOLUTE_POS] * adam.keep1 + g * adam.take1;
    let v = second[ABSOLUTE_POS] * adam.keep2 + g * g * adam.take2;
    first[ABSOLUTE_POS] = m;
    second[ABSOLUTE_POS] = v;
    weight[ABSOLUTE_POS] = w * adam.shrink - m / (f32::sqrt(v) / adam.root + adam.eps) * adam.rate;
}

/// The sum of squares over one piece of a gradient with `values` values.
#[cube(launch, address_type = "dynamic")]
fn squares_kernel(gradient: &Tensor<f32>, sums: &mut Tensor<f32>, values: usize, place: usize) {
    let me = UNIT_POS_X as usize;
    let piece = CUBE_POS_X as usize;
    let mut sum = 0.0f32;
    let mut at = piece * UNITS + me;
    while at < values {
        let value = gradient[at];
        sum += value * value;
        at += comptime!(PIECES * UNITS);
    }
    let sum = cube_sum(sum, UNITS);
    if me == 0 {
        sums[place + piece] = sum;
    }
}

/// One Adam step: returns the updated weights and both running means.
pub(in super::super) fn adam(
    step: &AdamStep,
    weight: Values<1>,
    gradient: Values<1>,
    means: [Values<1>; 2],
) -> Result<(Values<1>, [Values<1>; 2])> {
    let AdamNumbers { factor, pull, shrink, first: [keep1, take1], second: [keep2, take2], root, eps, rate } = step.numbers();
    let (weight, gradient) = (owned(dense(weight)?), dense(gradient)?);
    let [first, second] = means;
    let (first, second) = (owned(dense(first)?), owned(dense(second)?));
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
        AdamLaunch { factor, pull, shrink, keep1, take1, keep2, take2, root, eps, rate },
    );
    Ok((tensor(weight), [tensor(first), tensor(second)]))
}

/// The sums of squares over each piece of each gradient: `[gradients * 64]`.
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
        );
    }
    Ok(Some(tensor(sums)))
}
