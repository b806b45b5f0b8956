//! Adds a gradient to a window's sum, where the sum lies.

use burn::tensor::Tensor;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::{Tensor as Buffer, *};
use burn_cubecl::cubecl::std::tensor::layout::linear::LinearView;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::{Result, StageError};

use super::nhwc::{addresses, primitive, spread, stored};

/// One unit per value, in the order of the sum.
#[cube(launch, address_type = "dynamic")]
fn accumulate_kernel<E: Numeric>(
    sum: &mut Buffer<f32>,
    gradient: LinearView<'_, E>,
    units: usize,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    sum[ABSOLUTE_POS] += f32::cast_from(gradient.read(ABSOLUTE_POS));
}

/// Adds a gradient of any shape, type and layout in memory to `sum`, which has as many values and is a view of a buffer of
/// float32. In place, whoever else holds that buffer.
///
/// # Errors
/// When the sizes differ, or one of the two isn't on a graphics device.
pub(in super::super) fn accumulate<const D: usize>(sum: &Tensor<1>, gradient: Tensor<D>) -> Result<()> {
    add(primitive(sum.clone())?, primitive(gradient)?)
}

fn add(sum: CubeTensor, gradient: CubeTensor) -> Result<()> {
    let units = sum.meta.num_elements();
    if gradient.meta.num_elements() != units {
        let gradient = gradient.meta.num_elements();
        return Err(StageError::new(format!("a gradient of {gradient} values for a sum of {units}")));
    }
    let (count, dim) = spread(&sum, units);
    let (addresses, dtype) = (addresses(&[&sum]).max(gradient.required_address_type()), stored(&gradient));
    accumulate_kernel::launch(
        &sum.client.clone(),
        count,
        dim,
        addresses,
        sum.into_tensor_arg(),
        gradient.into_linear_view(),
        units,
        dtype,
    );
    Ok(())
}
