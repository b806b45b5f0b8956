//! Weights in safetensors files, with PyTorch's names and layouts, both directions.
//! Names, types and shapes are checked against the network before anything is allocated for it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use pipeline_contract::{Result, StageError};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::files::{failed, replace};
use crate::network::Network;
use crate::parameters::{Layout, Role, State, TensorSpec, Values};

/// What was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// SHA-256 over all tensors in the order of their names (name, shape, bytes), in hexadecimal.
    pub sha256: String,
    /// The number of trained values.
    pub parameters: usize,
}

/// The longest header accepted, in bytes: about ten thousand tensors. Parsing a header takes several times its length in
/// memory.
const LONGEST_HEADER: u64 = 1 << 20;

/// Reads a whole file, refusing one of more than `most` bytes.
///
/// # Errors
/// When it can't be read, isn't a regular file, or is larger.
pub fn read_file(path: &Path, most: u64) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| StageError::new(format!("{} can't be read: {error}", path.display()));
    // Checked before opening: opening a pipe blocks until there is a writer, and a device file never ends.
    let kind = std::fs::metadata(path).map_err(failed)?;
    if !kind.is_file() {
        let what = if kind.is_dir() { "a folder" } else { "no regular file" };
        return Err(StageError::new(format!("{} can't be read: it is {what}", path.display())).help("name a .safetensors file"));
    }
    let too_large =
        |bytes: u64| StageError::new(format!("{} has {bytes} bytes, more than the maximum of {most}", path.display()));
    if kind.len() > most {
        return Err(too_large(kind.len()).help("is this file for another network?"));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(kind.len() as usize).map_err(|error| failed(error.into()))?;
    // The file may have grown since its length was read.
    File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > most { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
}

/// Parses the bytes of a safetensors file. The names, sizes and offsets of all tensors are checked against its length.
///
/// # Errors
/// When the bytes aren't a safetensors file, or its header is longer than 1 MiB.
pub fn parse(bytes: &[u8]) -> Result<SafeTensors<'_>> {
    parse_within(bytes, LONGEST_HEADER)
}

/// As [`parse`], with a header of up to `longest` bytes.
///
/// # Errors
/// As there.
pub(crate) fn parse_within(bytes: &[u8], longest: u64) -> Result<SafeTensors<'_>> {
    let header = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    if header > longest {
        return Err(StageError::new(format!("not a safetensors file: its header would be of {header} bytes"))
            .help(format!("headers of at most {longest} bytes are read")));
    }
    SafeTensors::deserialize(bytes).map_err(|error| StageError::new(format!("not a safetensors file: {error}")))
}

/// Loads a network's tensors from a file, where each name starts with `prefix` (`init.` in a reference).
///
/// # Errors
/// When a tensor is missing, or has another type or shape.
pub fn load(layout: &Layout, file: &SafeTensors<'_>, prefix: &str, device: &Device) -> Result<State> {
    let find = |spec: &TensorSpec| tensor(file, &format!("{prefix}{}", spec.name), &spec.shape, dtype(spec.role));
    // All checks come first: a file for another network is refused before anything is moved to the device.
    let views = layout.specs().iter().map(find).collect::<Result<Vec<_>>>()?;
    let mut values = Values::default();
    for (spec, view) in layout.specs().iter().zip(views) {
        match spec.role {
            Role::Counter => values.counters.push(counter(view.data())),
            role => values.push(role, floats(view.data())),
        }
    }
    State::upload(values, device)
}

/// Loads a network's tensors from the bytes of a file, which must hold these tensors and no others.
///
/// # Errors
/// When the bytes aren't a safetensors file, or hold another network.
pub fn read(network: &Network, bytes: &[u8], device: &Device) -> Result<State> {
    let file = parse(bytes)?;
    let state = load(&network.layout, &file, "", device)?;
    let mut names = file.names();
    names.sort_unstable();
    match names.into_iter().find(|name| !network.layout.specs().iter().any(|spec| spec.name == *name)) {
        Some(name) => Err(StageError::new(format!("the network has no tensor {name}")).help("is this file for another model?")),
        None => Ok(state),
    }
}

/// Writes a network's tensors to `path`, with the network's metadata and more. An existing file is replaced only once the new one is
/// completely on disk.
///
/// # Errors
/// When the device can't be read or the file can't be written.
pub fn save(network: &Network, state: &State, more: Vec<(String, String)>, path: &Path) -> Result<Saved> {
    let mut tensors = BTreeMap::new();
    for spec in network.layout.specs() {
        let bytes: Vec<u8> = match spec.role {
            Role::Trained => download(&state.trained[spec.slot])?,
            Role::Statistic => download(&state.statistics[spec.slot])?,
            Role::Counter => state.counters[spec.slot].to_le_bytes().to_vec(),
        };
        tensors.insert(spec.name.as_str(), (spec, bytes));
    }
    let views = tensors
        .iter()
        .map(|(name, (spec, bytes))| {
            TensorView::new(dtype(spec.role), spec.shape.clone(), bytes).map(|view| (*name, view)).map_err(|e| failed(path, e))
        })
        .collect::<Result<Vec<_>>>()?;
    let about: HashMap<String, String> = network.metadata.iter().cloned().chain(more).collect();
    let mut bytes = safetensors::serialize(views, Some(about)).map_err(|error| failed(path, error))?;
    order_metadata(&mut bytes);
    replace(path, &bytes)?;
    let parameters = network.layout.parameters().unwrap_or(usize::MAX);
    Ok(Saved {
        sha256: digest(tensors.iter().map(|(name, (spec, bytes))| (*name, spec.shape.as_slice(), &bytes[..]))),
        parameters,
    })
}

/// Sorts the metadata of a safetensors file by key. The safetensors library writes it from a hash map, in a different order
/// each time, and equal weights must give equal bytes.
fn order_metadata(bytes: &mut [u8]) {
    let Some((length, rest)) = bytes.split_first_chunk_mut::<8>() else { return };
    let Some(header) = usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|length| rest.get_mut(..length)) else {
        return;
    };
    let Ok(mut fields) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(header) else { return };
    if let Some(metadata) = fields.get_mut("__metadata__").and_then(serde_json::Value::as_object_mut) {
        metadata.sort_keys();
    }
    let ordered = serde_json::Value::Object(fields).to_string();
    // Only the order changes, so the text keeps its length; anything after it is the format's padding.
    if let Some(text) = header.get_mut(..ordered.len()) {
        text.copy_from_slice(ordered.as_bytes());
    }
}

/// Looks up a tensor in a file and checks its shape and type.
pub(crate) fn tensor<'a>(file: &SafeTensors<'a>, name: &str, shape: &[usize], dtype: Dtype) -> Result<TensorView<'a>> {
    let view = file.tensor(name).map_err(|_| StageError::new(format!("the file has no tensor {name}")))?;
    if view.shape() != shape {
        let message = format!("{name} has shape {:?}, but the network expects {shape:?}", view.shape());
        return Err(StageError::new(message).help("the model must be the one that the file was made with"));
    }
    if view.dtype() != dtype {
        return Err(StageError::new(format!("{name} is {:?}, not {dtype:?}", view.dtype())));
    }
    Ok(view)
}

/// Decodes little-endian float32 values.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
}

/// Reads a tensor back from its device.
pub(crate) fn values(tensor: &Tensor<1>) -> Result<Vec<f32>> {
    tensor.try_to_vec_as().map_err(|error| crate::device::failed(&format!("{error:?}")))
}

fn download(tensor: &Tensor<1>) -> Result<Vec<u8>> {
    Ok(values(tensor)?.into_iter().flat_map(f32::to_le_bytes).collect())
}

fn counter(bytes: &[u8]) -> u64 {
    bytes.as_chunks().0.first().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

fn dtype(role: Role) -> Dtype {
    if role == Role::Counter { Dtype::I64 } else { Dtype::F32 }
}

/// SHA-256 over tensors in the order of their names; every part is preceded by its length.
fn digest<'a>(tensors: impl Iterator<Item = (&'a str, &'a [usize], &'a [u8])>) -> String {
    let mut hash = Sha256::new();
    for (name, shape, bytes) in tensors {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update((shape.len() as u64).to_le_bytes());
        shape.iter().for_each(|&size| hash.update((size as u64).to_le_bytes()));
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
