//! Packing weights for the microkernel.

use super::microkernel::HEIGHT;
use super::taps::Tap;
use std::ops::Range;

/// Where to find the kernel for an output and an input.
#[derive(Clone, Copy)]
pub(super) struct Kernels<'a> {
    pub(super) weights: &'a [f32],
    /// Distance from one output's first kernel to the next output's, in kernels.
    pub(super) output_step: usize,
    /// Distance from one input's kernel to the next input's, in kernels.
    pub(super) input_step: usize,
    /// Weights per kernel.
    pub(super) size: usize,
}

/// Copies some taps' weights to `[outputs / 6][inputs][taps][6]`; the last outputs may be fewer than 6.
pub(super) fn pack(kernels: Kernels<'_>, taps: &[Tap], outputs: Range<usize>, inputs: Range<usize>, to: &mut [f32]) {
    match kernels.size {
        9 => pack_kernels::<9>(kernels, taps, outputs, inputs, to),
        4 => pack_kernels::<4>(kernels, taps, outputs, inputs, to),
        _ => pack_kernels::<1>(kernels, taps, outputs, inputs, to),
    }
}

/// Kernels of `S` weights.
fn pack_kernels<const S: usize>(
    kernels: Kernels<'_>,
    taps: &[Tap],
    outputs: Range<usize>,
    inputs: Range<usize>,
    to: &mut [f32],
) {
    let Kernels { weights, output_step, input_step, .. } = kernels;
    let weights = weights.as_chunks::<S>().0;
    let mut to = &mut to[..outputs.len() * inputs.len() * taps.len()];
    for first in outputs.clone().step_by(HEIGHT) {
        let (block, rest) = to.split_at_mut(HEIGHT.min(outputs.end - first) * inputs.len() * taps.len());
        to = rest;
        let from = &weights[first * output_step + inputs.start * input_step..];
        let steps = [output_step, input_step];
        match outputs.end - first {
            1 => pack_block::<1, S>(from, steps, taps, block),
            2 => pack_block::<2, S>(from, steps, taps, block),
            3 => pack_block::<3, S>(from, steps, taps, block),
            4 => pack_block::<4, S>(from, steps, taps, block),
            5 => pack_block::<5, S>(from, steps, taps, block),
            _ => pack_block::<HEIGHT, S>(from, steps, taps, block),
        }
    }
}

fn pack_block<const M: usize, const S: usize>(
    from: &[[f32; S]],
    [output_step, input_step]: [usize; 2],
    taps: &[Tap],
    to: &mut [f32],
) {
    let to = to.as_chunks_mut::<M>().0;
    if taps.len() == S {
        // The whole kernel, in its own order or, for the input gradient, reversed.
        let turned = taps[0].weight > 0;
        for (input, to) in to.as_chunks_mut::<S>().0.iter_mut().enumerate() {
            let kernels: [&[f32; S]; M] = std::array::from_fn(|m| &from[m * output_step + input * input_step]);
            for (tap, to) in to.iter_mut().enumerate() {
                let tap = if turned { S - 1 - tap } else { tap };
                *to = kernels.map(|kernel| kernel[tap]);
            }
        }
        return;
    }
    for (input, to) in to.chunks_exact_mut(taps.len().max(1)).enumerate() {
        let kernels: [&[f32; S]; M] = std::array::from_fn(|m| &from[m * output_step + input * input_step]);
        for (tap, to) in taps.iter().zip(to) {
            *to = kernels.map(|kernel| kernel[tap.weight]);
        }
    }
}
