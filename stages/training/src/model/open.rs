//! Reads a model's file: `model.safetensors` of any version, or a checkpoint.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use burn::tensor::Device;
use pipeline_contract::{Result, StageError};
use safetensors::SafeTensors;

use super::Card;
use super::checkpoint::{Contents, is_checkpoint};
use crate::network::Network;
use crate::onnx;
use crate::parameters::State;
use crate::weights::{self, parse_within, read_file};

/// More bytes than any model has: a checkpoint of 512 million weights with Adam's moments.
const MOST_BYTES: u64 = 16 << 30;

/// The longest header read, in bytes: a checkpoint's has the state of all stages.
const LONGEST_HEADER: u64 = 256 << 20;

/// A trained network.
#[derive(Debug)]
pub struct Model {
    /// What its file says of it.
    pub card: Card,
    /// The layers.
    pub network: Network,
    /// The tensors, on a device.
    pub state: State,
}

impl Model {
    /// Reads a model or a checkpoint onto a device.
    ///
    /// # Errors
    /// When the file can't be read, is neither, is damaged, or is of a network that this program doesn't have.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        Self::parse(&read_file(path, MOST_BYTES)?, device).map_err(|error| error.context(path.display()))
    }

    /// As [`Self::open`], of a file's bytes.
    ///
    /// # Errors
    /// As there.
    pub fn parse(bytes: &[u8], device: &Device) -> Result<Self> {
        let file = parse_within(bytes, LONGEST_HEADER)?;
        let metadata = metadata(bytes)?;
        if is_checkpoint(&metadata) {
            let contents = Contents::read(&metadata)?;
            let card = contents.card()?;
            let network = card.build()?;
            let state = State::upload(contents.values(&network.layout, &file)?, device)?;
            return Ok(Self { card, network, state });
        }
        let card = Card::read(&metadata)?;
        let network = card.build()?;
        let state = weights::read(&network, bytes, device)?;
        Ok(Self { card, network, state })
    }

    /// Writes it as a model's file.
    ///
    /// # Errors
    /// When the device can't be read or the file can't be written.
    pub fn save(&self, path: &Path) -> Result<weights::Saved> {
        weights::save(&self.network, &self.state, self.card.metadata(), path)
    }
}

impl Model {
    /// Writes it as an ONNX file: see [`onnx::write`].
    ///
    /// # Errors
    /// As there.
    pub fn write_onnx(&self, path: &Path) -> Result<onnx::Written> {
        onnx::write(&self.network, &self.state, &self.card.about(), path)
    }
}

/// The tensors of a given network in a file: of a model, or of a checkpoint, from which the average of the weights is taken if there is one.
///
/// # Errors
/// When the file can't be read, or holds another network.
pub fn load(network: &Network, path: &Path, device: &Device) -> Result<State> {
    let read = |bytes: &[u8]| {
        let file = parse_within(bytes, LONGEST_HEADER)?;
        let metadata = metadata(bytes)?;
        if !is_checkpoint(&metadata) {
            return weights::read(network, bytes, device);
        }
        State::upload(Contents::read(&metadata)?.values(&network.layout, &file)?, device)
    };
    read(&read_file(path, MOST_BYTES)?).map_err(|error| error.context(path.display()))
}

fn metadata(bytes: &[u8]) -> Result<HashMap<String, String>> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| StageError::new(error.to_string()))?;
    Ok(header.metadata().clone().unwrap_or_default())
}

/// The card of a model or a checkpoint; reads no tensors.
///
/// # Errors
/// When the file can't be read, or says nothing of a network.
pub fn card_of(path: &Path) -> Result<Card> {
    let read = || -> Result<Card> {
        let unreadable = |error: std::io::Error| StageError::new(format!("it can't be read: {error}"));
        let kind = std::fs::metadata(path).map_err(unreadable)?;
        if !kind.is_file() {
            return Err(StageError::new("it is no file").help("name a model.safetensors, or a checkpoint of a run"));
        }
        let mut file = File::open(path).map_err(unreadable)?;
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| not_a_model())?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER || length > kind.len() {
            return Err(not_a_model());
        }
        let mut header = Vec::new();
        file.take(length).read_to_end(&mut header).map_err(unreadable)?;
        let header: serde_json::Value = serde_json::from_slice(&header).map_err(|_| not_a_model())?;
        let metadata = header.get("__metadata__").cloned().unwrap_or_default();
        let metadata = serde_json::from_value(metadata).unwrap_or_default();
        if is_checkpoint(&metadata) { Contents::read(&metadata)?.card() } else { Card::read(&metadata) }
    };
    read().map_err(|error| error.context(path.display()))
}

fn not_a_model() -> StageError {
    StageError::new("it is no safetensors file").help("name a model.safetensors, or a checkpoint of a run")
}
