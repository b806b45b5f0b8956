//! Writes a model to a file, after it has been checked.

use std::path::Path;

use pipeline_contract::memory::{Side, enter};
use pipeline_contract::{Result, StageError};
use prost::Message as _;

use super::about::About;
use super::model::model;
use super::numbers;
use super::proto::Model;
use super::structure;
use crate::files::replace;
use crate::network::Network;
use crate::parameters::{Role, State, Values};
use crate::weights::values;

/// The most bytes that a protobuf message may have, and so an ONNX file with its weights inside.
const MOST: usize = i32::MAX as usize;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Written {
    /// The file's length, in bytes.
    pub bytes: u64,
    /// The number of operators.
    pub operators: usize,
    /// The largest difference between the probabilities of the file's graph and the network's, of a random image.
    pub difference: f64,
}

/// Writes a network as an ONNX file (opset 17): from `image`, uint8 `[batch, 3, height, width]`, red, green and blue, to
/// `probabilities`, float32 `[batch, classes, height, width]`. Batch, height and width are free; height and width must be multiples
/// of the network's stride. The normalisation and the sigmoid or softmax are inside, norms are in evaluation mode, and everything is
/// float32. Equal networks give equal bytes.
///
/// The file is decoded and run by an interpreter first, and compared with the network on the CPU. An existing file is replaced only
/// once the new one is completely on disk.
///
/// # Errors
/// When a file would be longer than 2 GiB, the network has a structure that isn't translated, `about` doesn't fit the network, the
/// probabilities of the file differ from the network's, the device can't be read, or the file can't be written.
pub fn write(network: &Network, state: &State, about: &About, path: &Path) -> Result<Written> {
    // Copies of the weights, and what the check computes, aren't the device's.
    let _host = enter(Side::Host);
    let (bytes, written) = checked(network, state, about).map_err(|error| error.context(path.display()))?;
    replace(path, &bytes)?;
    Ok(written)
}

/// The bytes of a file, checked.
fn checked(network: &Network, state: &State, about: &About) -> Result<(Vec<u8>, Written)> {
    about.check(network)?;
    small_enough(network)?;
    let values = download(network, state)?;
    let bytes = model(network, &values, about)?.encode_to_vec();
    if bytes.len() > MOST {
        return Err(too_large(bytes.len() as u64));
    }
    // What would be written is checked, not what was meant.
    let read = Model::decode(bytes.as_slice()).map_err(|error| StageError::new(format!("the ONNX file is wrong: {error}")))?;
    let graph = read.graph.unwrap_or_default();
    structure::check(&graph)?;
    let [height, width] = numbers::sizes(network.stride);
    let difference = numbers::check(&graph, network, values, about, [1, height, width])?.probabilities;
    let written = Written { bytes: bytes.len() as u64, operators: graph.node.len(), difference };
    Ok((bytes, written))
}

/// Refuses a network whose weights alone are too large, before they are copied.
fn small_enough(network: &Network) -> Result<()> {
    let specs = network.layout.specs().iter().filter(|spec| spec.role != Role::Counter);
    let bytes = specs.fold(0u64, |sum, spec| {
        let values = spec.elements().map_or(u64::MAX, |count| count as u64);
        sum.saturating_add(values.saturating_mul(4))
    });
    if bytes > MOST as u64 { Err(too_large(bytes)) } else { Ok(()) }
}

fn too_large(bytes: u64) -> StageError {
    StageError::new(format!("an ONNX file holds at most 2 GiB, and this network has {bytes} bytes"))
        .help("reduce base or depth, or use the .safetensors file, which has no such limit")
}

/// The network's values in host memory.
fn download(network: &Network, state: &State) -> Result<Values> {
    let mut all = Values::default();
    for spec in network.layout.specs() {
        let tensor = match spec.role {
            Role::Trained => state.trained.get(spec.slot),
            Role::Statistic => state.statistics.get(spec.slot),
            Role::Counter => {
                all.counters.push(state.counters.get(spec.slot).copied().unwrap_or(0));
                continue;
            }
        };
        let values = tensor.map_or(Ok(Vec::new()), values)?;
        if Some(values.len()) != spec.elements() {
            let message = format!("{} has {} values, but the network expects {:?}", spec.name, values.len(), spec.shape);
            return Err(StageError::new(message).help("these weights are another network's"));
        }
        all.push(spec.role, values);
    }
    Ok(all)
}
