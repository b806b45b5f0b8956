//! The losses and the gradient of the logits: first the sums over a sample's pixels, then losses and gradient at once.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::FastDivmod;
use pipeline_contract::Result;

use super::channels::{cube_sum, fold};
use super::nhwc::{Values, addresses, dense, float32, owned, spread, tensor};

/// Units that sum one piece of a sample.
const UNITS: usize = 256;

/// Maximum pieces per sample.
const PIECES: usize = 256;

/// Keeps Dice defined on empty masks; the default of MONAI's `DiceLoss`.
const EPSILON: f32 = 1e-5;

/// Number of sums per sample: of cross entropy, probability times mask, probability, and mask.
const SUMS: usize = 4;

/// `exp(-|z|)`, from which both the probability and the cross entropy are computed without overflow.
#[cube]
fn tail(z: f32) -> f32 {
    f32::exp(-f32::abs(z))
}

#[cube]
fn probability(z: f32, tail: f32) -> f32 {
    select(z >= 0.0f32, 1.0f32, tail) / (1.0f32 + tail)
}

/// The sums over a piece of a sample, `[batch, pieces, 4]`.
#[cube(launch, address_type = "dynamic")]
fn sums_kernel(logits: &Tensor<f32>, masks: &Tensor<f32>, sums: &mut Tensor<f32>, pixels: usize, pieces: usize) {
    let me = UNIT_POS_X as usize;
    let piece = CUBE_POS_X as usize;
    let sample = CUBE_POS_Y as usize;
    let base = sample * pixels;
    let mut entropy = 0.0f32;
    let mut overlap = 0.0f32;
    let mut all_p = 0.0f32;
    let mut all_y = 0.0f32;
    let mut at = piece * UNITS + me;
    while at < pixels {
        let z = logits[base + at];
        let y = masks[base + at];
        let e = tail(z);
        let p = probability(z, e);
        entropy += max(z, 0.0f32) - z * y + f32::log1p(e);
        overlap += min(p, y);
        all_p += p;
        all_y += y;
        at += pieces * UNITS;
    }
    let entropy = cube_sum(entropy, UNITS);
    let overlap = cube_sum(overlap, UNITS);
    let all_p = cube_sum(all_p, UNITS);
    let all_y = cube_sum(all_y, UNITS);
    if me == 0 {
        let to = (sample * pieces + piece) * SUMS;
        sums[to] = entropy;
        sums[to + 1] = overlap;
        sums[to + 2] = all_p;
        sums[to + 3] = all_y;
    }
}

/// Which losses are summed, and over how many pixels.
#[derive(CubeType, CubeLaunch)]
struct Terms {
    /// Pixels of all samples, one unit each.
    units: usize,
    /// Pixels per sample.
    pixels: FastDivmod<usize>,
    /// Pixels per sample, as a float.
    count: f32,
    /// The factor of the gradient.
    factor: f32,
    #[cube(comptime)]
    entropy: bool,
    #[cube(comptime)]
    dice: bool,
}

/// From the sums of the samples to their losses and, in place of the logits, the gradient of `factor` times the sum of the
/// losses.
#[cube(launch, address_type = "dynamic")]
fn gradient_kernel(logits: &mut Tensor<f32>, masks: &Tensor<f32>, sums: &Tensor<f32>, losses: &mut Tensor<f32>, terms: &Terms) {
    if ABSOLUTE_POS >= terms.units {
        terminate!();
    }
    let (sample, pixel) = terms.pixels.div_mod(ABSOLUTE_POS);
    let z = logits[ABSOLUTE_POS];
    let y = masks[ABSOLUTE_POS];
    let p = probability(z, tail(z));
    let from = sample * SUMS;
    let mut gradient = 0.0f32;
    let mut loss = 0.0f32;
    if comptime!(terms.entropy) {
        gradient += (p - y) / terms.count;
        loss += sums[from] / terms.count;
    }
    if comptime!(terms.dice) {
        let overlap = 2.0f32 * sums[from + 1] + EPSILON;
        let total = sums[from + 2] + sums[from + 3] + EPSILON;
        let ratio = overlap / total;
        // More probability is right below the mask's part of the pixel.
        let more = select(p < y || y == 1.0f32, 1.0f32, 0.0f32);
        gradient += (ratio - 2.0f32 * more) / total * (p - p * p);
        loss += 1.0f32 - ratio;
    }
    if pixel == 0 {
        losses[sample] = loss;
    }
    logits[ABSOLUTE_POS] = gradient * terms.factor;
}

/// For logits and masks `[batch, pixels]` in float32: the loss of each sample `[batch]`, and the gradient of `factor` times the
/// sum of the losses, which replaces the logits. The loss is binary cross-entropy with logits, soft Dice, or both.
pub(in super::super) fn loss(
    [entropy, dice]: [bool; 2],
    logits: Values<2>,
    masks: Values<2>,
    factor: f32,
) -> Result<(Values<1>, Values<2>)> {
    let [batch, pixels] = logits.dims();
    let (logits, masks) = (owned(dense(logits)?), dense(masks)?);
    let pieces = pixels.div_ceil(UNITS).clamp(1, PIECES);
    let sums = float32(&logits, [batch, pieces, SUMS]);
    sums_kernel::launch(
        &logits.client,
        CubeCount::Static(pieces as u32, batch as u32, 1),
        CubeDim::new_1d(UNITS as u32),
        addresses(&[&logits]),
        logits.clone().into_tensor_arg(),
        masks.clone().into_tensor_arg(),
        sums.clone().into_tensor_arg(),
        pixels,
        pieces,
    );
    let sums = fold(sums, [batch, pieces, SUMS]);
    let losses = float32(&logits, [batch]);
    let (count, dim) = spread(&logits, batch * pixels);
    gradient_kernel::launch(
        &logits.client,
        count,
        dim,
        addresses(&[&logits]),
        logits.clone().into_tensor_arg(),
        masks.into_tensor_arg(),
        sums.into_tensor_arg(),
        losses.clone().into_tensor_arg(),
        TermsLaunch { units: batch * pixels, pixels, count: pixels as f32, factor, entropy, dice },
    );
    Ok((tensor(losses), tensor(logits)))
}
