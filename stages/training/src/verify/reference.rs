//! A reference file, opened and checked: the network that it is of, its samples, and what PyTorch computed.
//! It compares nothing.

use burn::tensor::Device;
use pipeline_contract::{Result, StageError};
use safetensors::{Dtype, SafeTensors};

use crate::micro_batch::{MicroBatch, Pixels};
use crate::network::Network;
use crate::networks::UNetConfig;
use crate::parameters::State;
use crate::weights;

/// How many samples a reference holds.
const SAMPLES: usize = 8;

pub(super) struct Reference<'a> {
    file: SafeTensors<'a>,
    pub(super) network: Network,
    size: usize,
}

impl<'a> Reference<'a> {
    /// Opens the bytes of a reference.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        let file = weights::parse(bytes)?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| StageError::new(error.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let text = |key: &str| {
            let missing = || StageError::new(format!("the file's metadata don't say {key}"));
            metadata.get(key).ok_or_else(missing).map_err(|error| error.help("make it with shared/parity/make_fixtures.py"))
        };
        let number = |key: &str| {
            text(key)?.parse::<usize>().map_err(|_| StageError::new(format!("{key} in the file's metadata is no whole number")))
        };
        let config = UNetConfig::new(number("base")?, number("depth")?, text("norm")?)?;
        let reference = Self { file, network: config.network(), size: number("size")? };
        reference.network.accepts(1, reference.size, reference.size)?;
        Ok(reference)
    }

    /// The network and its size, in words.
    pub(super) fn about(&self) -> String {
        format!("{}, on images of {size} x {size}", self.network.about, size = self.size)
    }

    /// The tensors before training.
    pub(super) fn start(&self, device: &Device) -> Result<State> {
        weights::load(&self.network.layout, &self.file, "init.", device)
    }

    /// The state after a run, on the CPU's side: name and values of every tensor of floats, and the counters.
    pub(super) fn after(&self, run: &str) -> Result<Vec<(String, Vec<f64>)>> {
        let specs = self.network.layout.specs().iter();
        specs.map(|spec| Ok((spec.name.clone(), self.values(&format!("{run}.{}", spec.name), &spec.shape)?))).collect()
    }

    /// Some of the samples.
    pub(super) fn samples(&self, range: std::ops::Range<usize>) -> Result<MicroBatch> {
        let take = |name: &str, channels: usize| -> Result<Vec<f32>> {
            let shape = [SAMPLES, channels, self.size, self.size];
            let view = weights::tensor(&self.file, name, &shape, Dtype::F32)?;
            let sample = channels * self.size * self.size * size_of::<f32>();
            Ok(weights::floats(&view.data()[range.start * sample..range.end * sample]))
        };
        Ok(MicroBatch {
            samples: range.clone().map(|sample| format!("x[{sample}]").into()).collect(),
            height: self.size,
            width: self.size,
            pixels: Pixels::Floats(take("x", 3)?),
            masks: take("y", 1)?.into_iter().map(|mask| u8::from(mask != 0.0)).collect(),
        })
    }

    /// The reference logits of the first two samples.
    pub(super) fn logits(&self) -> Result<Vec<f64>> {
        self.values("logits", &[2, 1, self.size, self.size])
    }

    /// Any tensor as float64.
    pub(super) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>> {
        let found = self.file.tensor(name).map_or(Dtype::F32, |view| view.dtype());
        let view = weights::tensor(&self.file, name, shape, found)?;
        match found {
            Dtype::F32 => Ok(weights::floats(view.data()).into_iter().map(f64::from).collect()),
            Dtype::F64 => Ok(view.data().as_chunks().0.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect()),
            Dtype::I64 => Ok(view.data().as_chunks().0.iter().map(|chunk| i64::from_le_bytes(*chunk) as f64).collect()),
            other => Err(StageError::new(format!("{name} is {other:?}, which a reference doesn't hold"))),
        }
    }
}
