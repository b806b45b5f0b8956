//! The memory that a run will need: the device's from the training crate's walk over the network, the host's from the
//! graph's bounds. And the settings that fit a budget, as overrides of the file.

mod host;
mod text;

use pipeline_contract::events::{ByCause, PlanEvent};
use pipeline_contract::{Result, Role, StageError};
use pipeline_training::Precision;
use pipeline_training::device::{self, Opened, Platform};
use pipeline_training::memory::Cause;
use pipeline_training::plan::{
    Ask, Fit, Forecast, Freedom, Job, Speed, StageView, TileChoice, Tiled, calibrate, fit, prediction, rehearse,
};
use pipeline_training::policy::Setting;
use pipeline_training::stages::Tiling;
use serde_json::{Value, json};

pub use host::Host;
pub use pipeline_training::plan::Prediction;
pub(crate) use pipeline_training::plan::size;
pub(crate) use text::chosen_tiles;

use crate::spec::{Checkpoints, Pipeline};

/// The memory that a run of a file will need.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The training.
    pub job: Job,
    /// The device, opened.
    pub device: Opened,
    /// The device's memory and work.
    pub forecast: Forecast,
    /// Bytes that a graphics device's allocator was found to reserve at the peak, by a dry run there; `None` on the CPU, whose
    /// memory is the forecast's, before [`Self::rehearsed`], and where the dry run failed.
    pub reserved: Option<u64>,
    /// The host's memory.
    pub host: Host,
    /// The run's checkpoints; `None` where it takes none.
    pub checkpoints: Option<CheckpointSize>,
    name: String,
}

/// The space of checkpoints: on the disk, and of host memory while one is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct CheckpointSize {
    /// Maximum bytes of one: taken in the middle of a window, it holds the gradients so far and the window's samples.
    pub bytes: u64,
    /// The most that are on the disk, while the newest is written.
    pub files: u64,
}

/// The training of a pipeline.
///
/// # Errors
/// When it trains nothing, or the images' sizes aren't known.
pub fn job(pipeline: &Pipeline) -> Result<Job> {
    let graph = &pipeline.graph;
    let stages: Vec<StageView<'_>> = graph
        .order
        .iter()
        .map(|&node| {
            let stage = graph.stage(node);
            let facts = graph.facts.get(node.index()).map_or(&[][..], Vec::as_slice);
            StageView { id: &stage.id, role: stage.kind.role, options: &stage.options, facts }
        })
        .collect();
    Job::of(&stages)
}

/// The memory that a file will need that only predicts or measures with trained models: the device's, and the host's.
///
/// # Errors
/// When no stage does so, a model can't be read, the images' size isn't known, or the device can't be opened.
pub fn of_prediction(pipeline: &Pipeline) -> Result<(Prediction, Host)> {
    let graph = &pipeline.graph;
    let node = graph.of_role(Role::Predictor).chain(graph.of_role(Role::Evaluator)).next();
    let node = node.ok_or_else(|| StageError::new("no stage of this file trains a network or predicts with one"))?;
    let facts = graph.facts.get(node.index()).and_then(|facts| facts.last()).cloned().unwrap_or_default();
    Ok((prediction(&graph.stage(node).options, &facts)?, Host::of(pipeline, 0)))
}

impl Plan {
    /// The plan of a checked file on its device, which is opened.
    ///
    /// # Errors
    /// When the file trains nothing, the images' sizes aren't known, or the device can't be opened.
    pub fn of(pipeline: &Pipeline) -> Result<Self> {
        let job = job(pipeline)?;
        let device = device::open(&job.device)?;
        let forecast = job.forecast(job.micro_batch.0, job.setting, Platform::of(&device.device))?;
        let host = Host::of(pipeline, job.window());
        let Checkpoints { keep, ref best, .. } = pipeline.settings.checkpoints;
        let state = [Cause::Weights, Cause::Gradients, Cause::Optimizer, Cause::Average];
        let held = |sum: u64, cause| sum.saturating_add(forecast.peak.causes.get(cause).copied().unwrap_or(0));
        let state = state.iter().fold(host.window, held);
        let checkpoints =
            (keep > 0).then(|| CheckpointSize { bytes: state, files: keep.saturating_add(1 + u64::from(best.is_some())) });
        Ok(Self { job, device, forecast, reserved: None, host, checkpoints, name: pipeline.name.clone() })
    }

    /// The same, with what a graphics device's allocator will hold: found by a dry run there, which compiles the kernels.
    /// Where that fails, the plan stays an estimate.
    #[must_use]
    pub fn rehearsed(mut self) -> Self {
        if self.is_estimate() {
            let device = &self.device.description;
            tracing::info!("preparing {device}: kernels that are new to this machine are compiled");
            self.reserved = rehearse(&self.device, &self.job).unwrap_or_else(|error| {
                tracing::warn!("can't find out how much the device's allocator will hold: {error}");
                None
            });
        }
        self
    }

    /// Bytes of the device at the peak: on the CPU what the network holds, on a graphics device what its allocator reserves.
    pub fn device_peak(&self) -> u64 {
        self.reserved.unwrap_or(self.forecast.peak.total)
    }

    /// What the device's allocator holds at the peak beyond what the network does: the rest of its pages, and what
    /// kernels allocate in between.
    fn allocator(&self) -> Option<u64> {
        Some(self.reserved?.saturating_sub(self.forecast.peak.total))
    }

    /// By cause, as in a run's figures.
    fn causes(&self) -> ByCause {
        let mut causes = self.forecast.peak.by_cause();
        if let Some(bytes) = self.allocator() {
            causes.push("allocator", bytes);
        }
        causes
    }

    /// The settings that fit a budget in bytes; the device is timed for it.
    ///
    /// # Errors
    /// What the device reports.
    pub fn fit(&self, budget: u64, allowed: &[String]) -> Result<Fit> {
        let may = |name: &str| allowed.iter().any(|allowed| allowed == name);
        let precisions = match may("mixed_precision") {
            true => Precision::ALL.into_iter().filter(|&p| device::supports(&self.device, p).is_ok()).collect(),
            false => vec![self.job.setting.precision],
        };
        let (micro_batch, checkpointing) = (may("micro_batch"), may("gradient_checkpointing"));
        let freedom = Freedom { micro_batch, precisions, checkpointing };
        fit(&self.job, &freedom, budget, Platform::of(&self.device.device), self)
    }

    /// The choice of a fit as overrides of the file, such as `stages.accum.with.steps=2`.
    ///
    /// # Errors
    /// When nothing fits: what would.
    pub fn overrides(&self, fit: &Fit) -> Result<Vec<String>> {
        let Some(choice) = fit.choice() else { return Err(self.too_small(fit)) };
        let keys = &self.job.keys;
        let mut overrides = Vec::new();
        if choice.micro_batch != self.job.micro_batch.0 {
            let (Some(micro_batch), Some(steps)) = (&keys.micro_batch, &keys.steps) else {
                return Err(StageError::new("the file has no options for another micro-batch and accumulation"));
            };
            overrides.push(format!("{micro_batch}={}", choice.micro_batch));
            overrides.push(format!("{steps}={}", choice.accumulation));
        }
        if choice.mixed_precision != self.job.setting.precision.name() {
            // In quotes: YAML 1.1 readers take a bare `no` for false.
            overrides.push(format!("{}='{}'", keys.precision, choice.mixed_precision));
        }
        if choice.gradient_checkpointing != self.job.setting.checkpointing.name() {
            overrides.push(format!("{}={}", keys.checkpointing, choice.gradient_checkpointing));
        }
        for TileChoice { stage, height, width, batch, free_size, free_batch, .. } in &fit.tiles {
            if *free_size {
                overrides.push(format!("stages.{stage}.with.tiles.size={}", sides(*height, *width)));
            }
            if *free_batch {
                overrides.push(format!("stages.{stage}.with.tiles.batch={batch}"));
            }
        }
        Ok(overrides)
    }

    fn too_small(&self, fit: &Fit) -> StageError {
        if let (Some(side), Some((_, height, width))) = (fit.largest_tile, self.job.evaluation) {
            let budget = size(fit.budget);
            let message = format!(
                "the training fits {budget} of device memory, and an evaluation in tiles of {height} x {width} doesn't"
            );
            return StageError::new(message)
                .help(format!("tiles of {side} x {side} fit: set `tiles.size` to that, or to auto, which chooses one"));
        }
        let message = format!("no allowed setting fits {} of device memory", size(fit.budget));
        let (_, height, width) = self.job.micro_batch;
        let mut help = format!("images of {height} x {width} need a budget of ");
        help += &size(fit.smallest_budget.unwrap_or(0));
        if let Some(side @ 1..) = fit.largest_image {
            help += &format!("; images of {side} x {side} fit this one");
        }
        StageError::new(message).help(help)
    }

    /// For programs.
    pub fn to_json(&self, fit: Option<&Fit>) -> Value {
        let (peak, setting) = (&self.forecast.peak, &self.job.setting);
        let blocks: serde_json::Map<_, _> =
            peak.blocks.iter().map(|(block, bytes)| (block.to_string(), json!(bytes))).collect();
        let tile = |tiled: &Tiled| {
            let Tiling { size: [height, width], overlap, batch, .. } = tiled.tiling;
            json!({"stage": tiled.stage, "height": height, "width": width, "overlap": overlap, "batch": batch})
        };
        let tiles: Vec<_> = self.job.tiles.iter().map(tile).collect();
        let mut value = json!({
            "name": self.name,
            "device": {
                "name": self.device.description,
                "peak": self.device_peak(),
                "estimate": self.is_estimate(),
                "place": peak.place,
                "causes": self.causes(),
                "saved_activations": blocks,
            },
            "host": self.host.to_json(),
            "checkpoints": self.checkpoints,
            "settings": {
                "micro_batch": self.job.micro_batch.0,
                "gradient_accumulation_steps": self.job.steps,
                "mixed_precision": setting.precision.name(),
                "float32_matmul": if setting.precision == Precision::Tf32 { "tf32" } else { "float32" },
                "gradient_checkpointing": setting.checkpointing.name(),
                "height": self.job.micro_batch.1,
                "width": self.job.micro_batch.2,
                "evaluation_tiles": tiles,
            },
            "parameters": self.job.network.layout.parameters(),
        });
        if let (Some(fit), Some(map)) = (fit, value.as_object_mut()) {
            map.insert("fit".into(), json!(fit));
        }
        value
    }

    /// True where the device has an allocator that couldn't be asked.
    pub fn is_estimate(&self) -> bool {
        self.reserved.is_none() && !Platform::of(&self.device.device).plans_exactly()
    }

    /// What a run records of it: the peaks, by cause.
    pub fn event(&self) -> PlanEvent {
        PlanEvent {
            device_planned_peak: self.device_peak(),
            device_peak_place: self.forecast.peak.place.clone(),
            device_peak_by_cause: self.causes(),
            host_planned_peak: self.host.peak(),
            host_by_cause: self.host.by_cause(),
        }
    }

    /// The pipeline's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Ask for Plan {
    fn largest_buffer(&self) -> Option<u64> {
        device::largest_buffer(&self.device.device)
    }

    fn speed(&self, precision: Precision) -> Result<Speed> {
        calibrate(&self.device, precision)
    }

    fn reserved(&self, micro_batch: usize, setting: Setting) -> Result<Option<u64>> {
        Ok(self.asked(&self.job.with(micro_batch, setting), ""))
    }

    fn reserved_with(&self, micro_batch: usize, setting: Setting, tiles: (usize, usize, usize)) -> Result<Option<u64>> {
        let job = Job { evaluation: Some(tiles), ..self.job.with(micro_batch, setting) };
        let (batch, height, width) = tiles;
        Ok(self.asked(&job, &format!(", with {batch} tiles of {height} x {width} in an evaluation")))
    }
}

impl Plan {
    /// What the device's allocator reserves for a job; `None` on the CPU, and where it can't be found out.
    fn asked(&self, job: &Job, more: &str) -> Option<u64> {
        if Platform::of(&self.device.device).plans_exactly() {
            return None;
        }
        let (samples, height, width) = job.micro_batch;
        let how = format!("micro-batches of {samples} at {height} x {width}");
        let (precision, mode) = (job.setting.precision.name(), job.setting.checkpointing.name());
        tracing::info!("asking {} what it reserves for {how}, {precision}, {mode}{more}", self.device.description);
        rehearse(&self.device, job).unwrap_or_else(|error| {
            tracing::warn!("it isn't known: {error}");
            None
        })
    }
}

/// A size as a file would say it: one number for a square.
fn sides(height: usize, width: usize) -> String {
    if height == width { height.to_string() } else { format!("[{height}, {width}]") }
}
