//! Opens and checks a reference file: its network, its samples, and PyTorch's results. The comparison itself is in `run`.
//! `tests/pytorch/make_reference.py` generates such files.

use std::collections::HashMap;
use std::ops::Range;

use burn::tensor::Device;
use pipeline_contract::{Result, StageError};
use pipeline_kernels::Area;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::runs::{Run, four, windows};
use crate::loss::{self, Loss};
use crate::micro_batch::{MicroBatch, Pixels};
use crate::network::Network;
use crate::networks::{self, UNetConfig};
use crate::parameters::State;
use crate::weights;

/// A reference file.
pub(super) struct Reference<'a> {
    file: SafeTensors<'a>,
    pub(super) network: Network,
    pub(super) loss: Loss,
    pub(super) runs: Vec<Run>,
    /// True when PyTorch's float32 is known to be within a tenth of the tight tolerances.
    pub(super) is_tight: bool,
    /// The number of samples in the file, and their height and width.
    area: Area,
}

/// The JSON metadata `config` of a reference that may hold any network.
#[derive(Deserialize)]
struct Config {
    network: String,
    /// The network's options, by name.
    sizes: Map<String, Value>,
    loss: String,
    height: usize,
    width: usize,
    windows: Vec<Vec<usize>>,
}

impl Config {
    fn network(&self) -> Result<Network> {
        // The number of input channels follows from the samples, and deep supervision has a shorter name here.
        let name = |size: &String| if size == "deep" { "deep_supervision".to_owned() } else { size.clone() };
        let options = self.sizes.iter().filter(|(size, _)| *size != "cin");
        let sizes = options.map(|(size, value)| (name(size), value.clone()));
        networks::build_with(&self.network, sizes.collect())
    }
}

impl<'a> Reference<'a> {
    /// Opens the bytes of a reference, either for a U-Net (metadata `base`, `depth`, `norm`, `size`) or for any network
    /// (metadata `config`).
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        let file = weights::parse(bytes)?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| StageError::new(error.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let reference = match metadata.get("config") {
            Some(config) => Self::of_any(file, config)?,
            None => Self::of_unet(file, &metadata)?,
        };
        reference.network.accepts(1, reference.area.height, reference.area.width)?;
        Ok(reference)
    }

    fn of_unet(file: SafeTensors<'a>, metadata: &HashMap<String, String>) -> Result<Self> {
        let text = |key: &str| {
            let missing = || StageError::new(format!("the file's metadata has no {key}"));
            metadata
                .get(key)
                .ok_or_else(missing)
                .map_err(|error| error.help("tests/pytorch/make_reference.py in the source tree generates a reference"))
        };
        let number = |key: &str| {
            text(key)?.parse::<usize>().map_err(|_| StageError::new(format!("{key} in the file's metadata is no whole number")))
        };
        let network = UNetConfig::new(number("base")?, number("depth")?, text("norm")?)?.network();
        let size = number("size")?;
        let area = Area { batch: 8, height: size, width: size };
        Ok(Self { file, network, loss: Loss::default(), runs: four(), is_tight: false, area })
    }

    fn of_any(file: SafeTensors<'a>, config: &str) -> Result<Self> {
        let misfit = |error| StageError::new(format!("the file's metadata `config` isn't that of a network: {error}"));
        let config: Config = serde_json::from_str(config).map_err(misfit)?;
        let network = config.network()?;
        let loss = loss::parse(&Value::String(config.loss.clone()), network.classes)?;
        let batch = config.windows.iter().flatten().max().map_or(0, |last| last.saturating_add(1));
        let area = Area { batch, height: config.height, width: config.width };
        if batch < 2 {
            return Err(StageError::new("a reference must have at least two samples"));
        }
        Ok(Self { file, network, loss, runs: windows(&config.windows), is_tight: true, area })
    }

    /// The network and its size, in words.
    pub(super) fn about(&self) -> String {
        format!("{}, on images of {} x {}", self.network.about, self.area.height, self.area.width)
    }

    /// The tensors before training.
    pub(super) fn start(&self, device: &Device) -> Result<State> {
        weights::load(&self.network.layout, &self.file, "init.", device)
    }

    /// The expected state after a run, in host memory: name and values of every float tensor, and the counters.
    pub(super) fn after(&self, run: &str) -> Result<Vec<(String, Vec<f64>)>> {
        let specs = self.network.layout.specs().iter();
        specs.map(|spec| Ok((spec.name.clone(), self.values(&format!("{run}.{}", spec.name), &spec.shape)?))).collect()
    }

    /// The samples in a range.
    pub(super) fn samples(&self, range: Range<usize>) -> Result<MicroBatch> {
        let Area { batch, height, width } = self.area;
        let pixels = height * width;
        let images = weights::tensor(&self.file, "x", &[batch, 3, height, width], Dtype::F32)?;
        let part = |values: usize| range.start * values * pixels..range.end * values * pixels;
        let floats = |bytes: &[u8], part: Range<usize>| {
            let bytes = bytes.get(part.start * 4..part.end * 4);
            bytes.map(weights::floats).ok_or_else(|| StageError::new("the reference has no such sample"))
        };
        let labels = match self.network.classes {
            1 => {
                let masks = weights::tensor(&self.file, "y", &[batch, 1, height, width], Dtype::F32)?;
                floats(masks.data(), part(1))?.into_iter().map(|mask| (255.0 * mask).round() as u8).collect()
            }
            _ => {
                let labels = weights::tensor(&self.file, "y", &[batch, height, width], Dtype::I64)?;
                let labels = labels.data().as_chunks::<8>().0.get(part(1));
                let labels = labels.ok_or_else(|| StageError::new("the reference has no such sample"))?;
                labels.iter().map(|label| i64::from_le_bytes(*label) as u8).collect()
            }
        };
        Ok(MicroBatch {
            samples: range.clone().map(|sample| format!("x[{sample}]").into()).collect(),
            height,
            width,
            pixels: Pixels::Floats(floats(images.data(), part(3))?),
            masks: labels,
        })
    }

    /// The reference logits of the first two samples under `name`: `logits`, or `eval.logits` in a file that has them.
    pub(super) fn logits(&self, name: &str) -> Result<Vec<f64>> {
        self.values(name, &[2, self.network.classes, self.area.height, self.area.width])
    }

    /// A tensor's values as float64.
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
