//! The values of burn's tensors on the CPU as slices, without a copy: this is how our own kernels reach weights and gradients.

use burn::backend::Flex;
use burn::tensor::Tensor;
use pipeline_contract::StageError;

fn elsewhere() -> StageError {
    StageError::new("a tensor of the CPU's kernels isn't on the CPU")
}

/// Lets `work` read the values of a tensor on the CPU.
///
/// # Errors
/// When the tensor is on another device, or is a view of another tensor: a bug.
pub(crate) fn read<T>(tensor: &Tensor<1>, work: impl FnOnce(&[f32]) -> T) -> Result<T, StageError> {
    let primitive = tensor.clone().try_into_primitive::<Flex>().map_err(|_| elsewhere())?;
    if !primitive.is_contiguous() || primitive.layout().start_offset() != 0 {
        return Err(elsewhere());
    }
    let count = primitive.layout().num_elements();
    Ok(work(&primitive.storage::<f32>()[..count]))
}

/// Lets `work` change the values of a tensor on the CPU; a tensor with shared memory is copied first.
///
/// # Errors
/// When the tensor is on another device, or is a view of another tensor: a bug.
pub(crate) fn write<T>(tensor: &mut Tensor<1>, work: impl FnOnce(&mut [f32]) -> T) -> Result<T, StageError> {
    let mut result = None;
    tensor.inplace(|tensor| {
        let device = tensor.device();
        match tensor.try_into_primitive::<Flex>() {
            Ok(mut primitive) => {
                result = Some(work(primitive.storage_mut::<f32>()));
                Tensor::from_primitive::<Flex>(primitive)
            }
            Err(_) => Tensor::empty([0], &device),
        }
    });
    result.ok_or_else(elsewhere)
}
