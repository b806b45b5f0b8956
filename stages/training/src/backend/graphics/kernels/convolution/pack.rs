//! Weights as matrix units read them.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::FastDivmod;
use burn_cubecl::cubecl::zspace::Shape;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use burn::tensor::DType;

use super::super::nhwc::{addresses, spread, stored};

/// Where a packed weight comes from.
#[derive(CubeType, CubeLaunch)]
struct Places {
    count: usize,
    outputs: usize,
    inputs: usize,
    rows: FastDivmod<usize>,
    padded: FastDivmod<usize>,
    taps: usize,
}

#[cube(launch, address_type = "dynamic")]
fn pack_kernel<E: Float>(weight: &Tensor<f32>, packed: &mut Tensor<E>, places: &Places, #[define(E)] _dtype: ElemType) {
    if ABSOLUTE_POS >= places.count {
        terminate!();
    }
    let (above, output) = places.padded.div_mod(ABSOLUTE_POS);
    let (tap, input) = places.rows.div_mod(above);
    let exists = output < places.outputs;
    let from = select(exists, (output * places.inputs + input) * places.taps + tap, 0usize);
    packed[ABSOLUTE_POS] = E::cast_from(select(exists, weight[from], 0.0f32));
}

/// From weights `[outputs, inputs, size, size]` in float32 to `[taps, inputs, outputs]` in the type of the maps; the outputs are
/// padded with zeros to a multiple of `multiple`.
pub(super) fn pack(weight: &CubeTensor, dtype: DType, multiple: usize) -> CubeTensor {
    let shape = weight.meta.shape();
    let (outputs, inputs, taps) = (shape[0], shape[1], shape[2] * shape[3]);
    let padded = outputs.next_multiple_of(multiple);
    let count = taps * inputs * padded;
    let (client, device) = (weight.client.clone(), weight.device.clone());
    let packed = empty_device_contiguous_dtype(client.clone(), device, Shape::new([taps, inputs, padded]), dtype);
    let (cubes, dim) = spread(weight, count);
    pack_kernel::launch(
        &client,
        cubes,
        dim,
        addresses(&[weight, &packed]),
        weight.clone().into_tensor_arg(),
        packed.clone().into_tensor_arg(),
        PlacesLaunch { count, outputs, inputs, rows: inputs, padded, taps },
        stored(&packed),
    );
    packed
}
