//! Applies a map's norm and activation, for layers that can't apply them while reading.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use pipeline_contract::Result;

use super::nhwc::{Nhwc, Values, addresses, spread, stored};
use super::normed::{Norm, Normed, NormedMap};
use super::units::{MapUnits, map_units};

#[cube(launch, address_type = "dynamic")]
fn activate_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    norm: &Norm<N>,
    output: &mut Tensor<Vector<E, N>>,
    units: &MapUnits,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= units.count {
        terminate!();
    }
    let place = units.place(ABSOLUTE_POS);
    let norm = norm.of(place.image, place.vector, units.own);
    output[ABSOLUTE_POS] = Vector::cast_from(norm.apply(Vector::cast_from(x[ABSOLUTE_POS])));
}

/// A map with its norm and activation applied: `[batch, channels, height, width]`.
pub(in super::super) fn activate(normed: Normed) -> Result<Values<4>> {
    let NormedMap { map, norm } = NormedMap::of(normed)?;
    let vector_size = map.vector_size(&[]);
    let (units, places) = map_units(&map, vector_size);
    let (count, dim) = spread(&map.tensor, units);
    let output = Nhwc::empty(&map.tensor, map.dims(), map.tensor.dtype);
    activate_kernel::launch(
        &map.tensor.client,
        count,
        dim,
        addresses(&[&map.tensor]),
        vector_size,
        map.tensor.clone().into_tensor_arg(),
        norm.arg(),
        output.tensor.clone().into_tensor_arg(),
        places,
        stored(&map.tensor),
    );
    Ok(output.map())
}
