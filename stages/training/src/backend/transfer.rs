//! Saves a device's tensors in a checkpoint and restores them bit for bit. What they are used for is up to the callers.

use burn::tensor::{Device, Tensor};
use pipeline_contract::memory::{self, Side};
use pipeline_contract::{Buffer, Result, Saved, StageError};

use super::select::of;
use crate::parameters::{upload, upload_all};

/// Stores tensors as `NAME.0`, `NAME.1`, ... and their number.
///
/// # Errors
/// What the device reports.
pub(crate) fn keep(saved: &mut Saved, name: &str, tensors: &[Tensor<1>], device: &Device) -> Result<()> {
    let _host = memory::enter(Side::Host);
    let values = of(device).download(tensors)?;
    saved.set(name, values.len())?;
    for (at, values) in values.into_iter().enumerate() {
        saved.keep(format!("{name}.{at}"), Buffer::Floats(values));
    }
    Ok(())
}

/// The tensors that [`keep`] stored.
///
/// # Errors
/// When there are none with this name.
pub(crate) fn take(saved: &mut Saved, name: &str, device: &Device) -> Result<Vec<Tensor<1>>> {
    Ok(floats(saved, name)?.into_iter().map(|values| upload(values, device)).collect())
}

/// The values that [`keep`] stored, copied on the thread that will use them: the counting allocator charges memory to the side of
/// the allocating thread.
fn floats(saved: &mut Saved, name: &str) -> Result<Vec<Vec<f32>>> {
    let count: usize = saved.get(name)?;
    (0..count).map(|at| Ok(saved.take_floats(&format!("{name}.{at}"))?.to_vec())).collect()
}

/// The same, with the lengths of `like`, to be changed together: for example weights for weights.
///
/// # Errors
/// When the lengths differ.
pub(crate) fn take_like(saved: &mut Saved, name: &str, like: &[Tensor<1>], device: &Device) -> Result<Vec<Tensor<1>>> {
    let taken = floats(saved, name)?;
    if taken.iter().map(Vec::len).eq(like.iter().map(|tensor| tensor.dims()[0])) {
        upload_all(taken, device)
    } else {
        Err(StageError::new(format!("the saved {name} are of another network"))
            .help("the model must be the one that the run began with"))
    }
}
