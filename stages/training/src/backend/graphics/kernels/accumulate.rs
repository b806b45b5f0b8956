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

#[cfg(test)]
#[expect(clippy::expect_used, clippy::print_stderr, reason = "tests may panic and talk")]
mod tests {
    use burn::tensor::{DType, Tensor, TensorData};

    use super::*;
    use crate::parameters::{upload, upload_all, zeros};

    /// A weight gradient as its kernel leaves it, `[3, 3, inputs, outputs]`, for a sum `[outputs, inputs, 3, 3]`.
    #[test]
    fn a_gradient_of_any_layout_and_type_is_added_in_place() {
        let Some(device) = crate::device::open("wgpu").map_err(|error| eprintln!("skipped: {error}")).ok() else { return };
        let (device, inputs, outputs) = (device.device, 5, 7);
        let count = 9 * inputs * outputs;
        let made: Vec<f32> = (0..count).map(|at| at as f32 - 100.0).collect();
        let sums = zeros(&[upload(vec![0.0; 3], &device), upload(vec![0.0; count], &device)], &device);
        let gradient = Tensor::<4>::from_data(TensorData::new(made.clone(), [3, 3, inputs, outputs]), (&device, DType::F32));
        let gradient = gradient.permute([3, 2, 0, 1]);
        accumulate(&sums[1], gradient.clone()).expect("as many values");
        let mut times = 1.0;
        if device.supports_dtype(DType::F16) {
            accumulate(&sums[1], gradient.cast(DType::F16)).expect("as many values");
            times += 1.0;
        }
        let place = |at: usize| {
            let (tap, input, output) = (at % 9, at / 9 % inputs, at / 9 / inputs);
            (tap * inputs + input) * outputs + output
        };
        let expected: Vec<f32> = (0..count).map(|at| times * made[place(at)]).collect();
        assert_eq!(sums[1].try_to_vec_as::<f32>().expect("float32"), expected);
        assert_eq!(sums[0].try_to_vec_as::<f32>().expect("float32"), [0.0; 3], "the neighbour");
        assert!(
            accumulate(&upload_all(vec![vec![0.0; 2]], &device).expect("small")[0], Tensor::<1>::zeros([3], &device)).is_err()
        );
    }
}
