//! Tensors of a device in a checkpoint and back, to the last bit. What they are for is the callers' business.

use burn::tensor::{Device, Tensor};
use pipeline_contract::memory::{self, Side};
use pipeline_contract::{Buffer, Result, Saved, StageError};

use super::select::of;
use crate::parameters::upload;

/// Keeps tensors as `NAME.0`, `NAME.1`, ... and how many there are.
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

/// The tensors that [`keep`] kept.
///
/// # Errors
/// When there are none of this name.
pub(crate) fn take(saved: &mut Saved, name: &str, device: &Device) -> Result<Vec<Tensor<1>>> {
    let count: usize = saved.get(name)?;
    // Copied, so that they are allocated where they will be used: the device's memory is counted by who allocates it.
    (0..count).map(|at| Ok(upload(saved.take_floats(&format!("{name}.{at}"))?.to_vec(), device))).collect()
}

/// The same, of the lengths of `like`: weights for weights.
///
/// # Errors
/// When they are others.
pub(crate) fn take_like(saved: &mut Saved, name: &str, like: &[Tensor<1>], device: &Device) -> Result<Vec<Tensor<1>>> {
    let taken = take(saved, name, device)?;
    let lengths = |tensors: &[Tensor<1>]| tensors.iter().map(|tensor| tensor.dims()[0]).collect::<Vec<_>>();
    if lengths(&taken) == lengths(like) {
        Ok(taken)
    } else {
        Err(StageError::new(format!("the saved {name} are of another network"))
            .help("the model must be the one that the run began with"))
    }
}
