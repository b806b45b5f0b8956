//! Applies a map's norm and activation, for layers that can't apply them while reading.

use pipeline_contract::Result;

use super::im2col::{Window, im2col};
use super::nhwc::{Values, tensor};
use super::normed::{Normed, NormedMap, Operand};

/// A map with its norm and activation applied: `[batch, channels, height, width]`.
pub(in super::super) fn activate(normed: Normed) -> Result<Values<4>> {
    let normed = NormedMap::of(normed)?;
    let [batch, height, width, channels] = normed.map.dims();
    let window = Window { first: 0, margin: 0, rows: height, columns: width, taps: 1 };
    let made = tensor::<3>(im2col(&[Operand::Normed(normed)], window)?);
    Ok(made.reshape([batch, height, width, channels]).permute([0, 3, 1, 2]))
}
