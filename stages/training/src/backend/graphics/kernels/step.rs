//! An optimizer step on all trained values of a buffer and a move of their average, in place, and the squares of a buffer's
//! gradients. Zeros between tensors stay zeros.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use pipeline_contract::Result;
use pipeline_kernels::{AdamNumbers, AdamStep, SgdStep};

use super::channels::cube_sum;
use super::nhwc::{Values, addresses, dense, float32, owned, spread, tensor};

/// Units that sum the squares of one piece of a buffer.
const UNITS: usize = 256;

/// Minimum values per unit, in buffers that have enough.
const LEAST: usize = 16;

/// Maximum pieces per buffer.
const PIECES: usize = 1024;

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

/// The same arithmetic as in `pipeline_kernels::adam`, which names its source. A mean of exactly zero moves nothing: between
/// tensors it would be divided by zero where `eps` is zero.
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
    let moved = m / (f32::sqrt(v) / adam.root + adam.eps) * adam.rate;
    weight[ABSOLUTE_POS] = w * adam.shrink - select(m == 0.0f32, 0.0f32, moved);
}

/// The coefficients of a step of SGD.
#[derive(CubeType, CubeLaunch)]
struct Sgd {
    factor: f32,
    decay: f32,
    momentum: f32,
    lr: f32,
}

/// The same arithmetic as in `pipeline_kernels::sgd`, without momentum.
#[cube(launch, address_type = "dynamic")]
fn sgd_kernel(weight: &mut Tensor<f32>, gradient: &Tensor<f32>, units: usize, sgd: &Sgd) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let w = weight[ABSOLUTE_POS];
    weight[ABSOLUTE_POS] = w - (gradient[ABSOLUTE_POS] * sgd.factor + w * sgd.decay) * sgd.lr;
}

/// The same with momentum. In the first step the buffer holds zeros.
#[cube(launch, address_type = "dynamic")]
fn momentum_kernel(
    weight: &mut Tensor<f32>,
    gradient: &Tensor<f32>,
    buffer: &mut Tensor<f32>,
    units: usize,
    sgd: &Sgd,
    #[comptime] nesterov: bool,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let w = weight[ABSOLUTE_POS];
    let direction = gradient[ABSOLUTE_POS] * sgd.factor + w * sgd.decay;
    let moved = buffer[ABSOLUTE_POS] * sgd.momentum + direction;
    buffer[ABSOLUTE_POS] = moved;
    let mut taken = moved;
    if comptime!(nesterov) {
        taken = direction + moved * sgd.momentum;
    }
    weight[ABSOLUTE_POS] = w - taken * sgd.lr;
}

/// The same arithmetic as in `pipeline_kernels::average`.
#[cube(launch, address_type = "dynamic")]
fn average_kernel(average: &mut Tensor<f32>, weight: &Tensor<f32>, units: usize, share: f32) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let a = average[ABSOLUTE_POS];
    average[ABSOLUTE_POS] = a + (weight[ABSOLUTE_POS] - a) * share;
}

/// The sum of squares over one piece of a buffer with `values` values: those of every `stride`-th cube of units.
#[cube(launch, address_type = "dynamic")]
fn squares_kernel(gradient: &Tensor<f32>, sums: &mut Tensor<f32>, values: usize, stride: usize) {
    let me = UNIT_POS_X as usize;
    let piece = CUBE_POS_X as usize;
    let mut sum = 0.0f32;
    let mut at = piece * UNITS + me;
    while at < values {
        let value = gradient[at];
        sum += value * value;
        at += stride;
    }
    let sum = cube_sum(sum, UNITS);
    if me == 0 {
        sums[piece] = sum;
    }
}

/// What a step changes: flat buffers of the same length. float32.
pub(in super::super) struct Trained {
    pub weight: Values<1>,
    /// Adam's running means of gradients, or SGD's momentum.
    pub first: Option<Values<1>>,
    /// Adam's running means of squares.
    pub second: Option<Values<1>>,
}

/// One Adam step, in place where nothing else holds a buffer. Without both running means nothing changes.
pub(in super::super) fn adam(step: &AdamStep, trained: Trained, gradient: Values<1>) -> Result<Trained> {
    let AdamNumbers { factor, pull, shrink, first: [keep1, take1], second: [keep2, take2], root, eps, rate } = step.numbers();
    let Trained { weight, first: Some(first), second: Some(second) } = trained else { return Ok(trained) };
    let (weight, gradient) = (owned(dense(weight)?), dense(gradient)?);
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
    Ok(Trained { weight: tensor(weight), first: Some(tensor(first)), second: Some(tensor(second)) })
}

/// One step of SGD, in place where nothing else holds a buffer. With momentum if there is a buffer for it.
pub(in super::super) fn sgd(step: &SgdStep, trained: Trained, gradient: Values<1>) -> Result<Trained> {
    let &SgdStep { lr, momentum, weight_decay, nesterov, factor, .. } = step;
    let sgd = SgdLaunch { factor, decay: weight_decay as f32, momentum: momentum as f32, lr: lr as f32 };
    let (weight, gradient) = (owned(dense(trained.weight)?), dense(gradient)?);
    let units = weight.meta.num_elements();
    let ((count, dim), addresses) = (spread(&weight, units), addresses(&[&weight]));
    let (changed, gradient) = (weight.clone().into_tensor_arg(), gradient.into_tensor_arg());
    let Some(buffer) = trained.first else {
        sgd_kernel::launch(&weight.client, count, dim, addresses, changed, gradient, units, sgd);
        return Ok(Trained { weight: tensor(weight), first: None, second: None });
    };
    let buffer = owned(dense(buffer)?);
    let moved = buffer.clone().into_tensor_arg();
    momentum_kernel::launch(&weight.client, count, dim, addresses, changed, gradient, moved, units, sgd, nesterov);
    Ok(Trained { weight: tensor(weight), first: Some(tensor(buffer)), second: None })
}

/// Moves an average of the weights towards them, in place where nothing else holds it: flat buffers of the same length.
pub(in super::super) fn average(average: Values<1>, weight: Values<1>, share: f32) -> Result<Values<1>> {
    let (average, weight) = (owned(dense(average)?), dense(weight)?);
    let units = average.meta.num_elements();
    let (count, dim) = spread(&average, units);
    average_kernel::launch(
        &average.client,
        count,
        dim,
        addresses(&[&average]),
        average.clone().into_tensor_arg(),
        weight.into_tensor_arg(),
        units,
        share,
    );
    Ok(tensor(average))
}

/// The sums of squares over each piece of a flat buffer of gradients, `[pieces]`; the length alone decides what a piece is and in
/// which order it is summed.
pub(in super::super) fn squares(gradients: Values<1>) -> Result<Values<1>> {
    let gradients = dense(gradients)?;
    let values = gradients.meta.num_elements();
    let pieces = values.div_ceil(UNITS * LEAST).clamp(1, PIECES);
    let sums = float32(&gradients, [pieces]);
    squares_kernel::launch(
        &sums.client,
        CubeCount::Static(pieces as u32, 1, 1),
        CubeDim::new_1d(UNITS as u32),
        addresses(&[&gradients]),
        gradients.into_tensor_arg(),
        sums.clone().into_tensor_arg(),
        values,
        pieces * UNITS,
    );
    Ok(tensor(sums))
}
