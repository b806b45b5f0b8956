//! A network in training as saved in a checkpoint: tensors, policies, and the open window with its micro-batches, so that
//! the window can be repeated if memory is refused after the run resumes.

use std::sync::Arc;

use pipeline_contract::memory::{self, Side};
use pipeline_contract::{Buffer, Result, Saved, StageError};
use pipeline_images::Normalization;

use super::Trainee;
use crate::backend::transfer as saved;
use crate::memory::Fault;
use crate::micro_batch::{MicroBatch, Pixels};
use crate::model::Card;
use crate::network::Checkpointing;
use crate::policy::Setting;
use crate::precision::Precision;

impl Trainee {
    /// Saves everything that determines what the next passes compute.
    ///
    /// # Errors
    /// What the device reports.
    pub fn save(&self) -> Result<Saved> {
        let (mut kept, device) = (Saved::default(), self.state.device());
        saved::keep(&mut kept, "weights", &self.state.trained, device)?;
        saved::keep(&mut kept, "statistics", &self.state.statistics, device)?;
        kept.set("counters", &self.state.counters)?;
        kept.set_float("loss_scale", self.scale.scale());
        kept.set("good_steps", self.scale.good_steps())?;
        kept.set("setting", written(self.setting))?;
        kept.set("asked", written(self.asked))?;
        kept.set("samples_evaluated_at_a_time", self.most_evaluated as u64)?;
        saved::keep(&mut kept, "gradients", if self.window.journal.is_empty() { &[] } else { &self.window.gradients }, device)?;
        saved::keep(&mut kept, "losses", &self.window.losses, device)?;
        saved::keep(&mut kept, "statistics_before", &self.window.before.0, device)?;
        kept.set("counters_before", &self.window.before.1)?;
        let _host = memory::enter(Side::Host);
        if let Some(card) = &self.card {
            kept.set("model", card)?;
        }
        kept.set("micro_batches", self.window.journal.len())?;
        for (at, batch) in self.window.journal.iter().enumerate() {
            keep_batch(&mut kept, &format!("micro_batch.{at}"), batch)?;
        }
        Ok(kept)
    }

    /// Restores what [`Self::save`] returned.
    ///
    /// # Errors
    /// When it belongs to another network, or memory is refused.
    pub fn restore(&mut self, mut kept: Saved) -> Result<()> {
        let device = self.state.device().clone();
        self.state.trained = saved::take_like(&mut kept, "weights", &self.state.trained, &device)?;
        self.state.statistics = saved::take_like(&mut kept, "statistics", &self.state.statistics, &device)?;
        self.state.counters = self.counters(kept.get("counters")?)?;
        self.scale.resume(kept.get_float("loss_scale")?, kept.count("good_steps")?);
        // How it is used is what the file says now; what was measured stays.
        if let (Some(card), Ok(before)) = (&mut self.card, kept.get::<Card>("model")) {
            (card.figures, card.epoch, card.threshold) = (before.figures, before.epoch, before.threshold);
        }
        self.most_evaluated = at_most(kept.get("samples_evaluated_at_a_time")?);
        if kept.get::<usize>("gradients")? > 0 {
            self.open()?;
            self.window.gradients = saved::take_like(&mut kept, "gradients", &self.state.trained, &device)?;
        }
        self.window.losses = saved::take(&mut kept, "losses", &device)?;
        let count: usize = kept.get("micro_batches")?;
        self.window.journal =
            (0..count).map(|at| take_batch(&mut kept, &format!("micro_batch.{at}"))).collect::<Result<_>>()?;
        if count > 0 {
            let statistics = saved::take_like(&mut kept, "statistics_before", &self.state.statistics, &device)?;
            self.window.before = (statistics, self.counters(kept.get("counters_before")?)?);
        }
        // A smaller setting that followed a refusal of memory is kept. If the file's setting has changed since, the file's
        // is used, and the sums made under the old one are recomputed.
        if read(&kept.get("asked")?)? == self.asked {
            self.setting = read(&kept.get("setting")?)?;
        } else if !self.window.journal.is_empty() {
            match self.redo(self.asked) {
                Ok(()) => {}
                Err(Fault::Memory(short)) => self.retry(short)?,
                Err(Fault::Failed(error)) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Trainee {
    /// Returns the counters if they fit this network.
    fn counters(&self, counters: Vec<u64>) -> Result<Vec<u64>> {
        match counters.len() == self.state.counters.len() && counters.iter().all(|&count| count < 1 << 53) {
            true => Ok(counters),
            false => Err(StageError::new("the saved counters are of another network")),
        }
    }
}

/// A setting, with the names that files use.
fn written(setting: Setting) -> (String, String, u64) {
    (setting.precision.tag().into(), setting.checkpointing.name().into(), setting.samples as u64)
}

fn read((precision, checkpointing, samples): &(String, String, u64)) -> Result<Setting> {
    let known = Precision::tagged(precision).zip(Checkpointing::named(checkpointing));
    let (precision, checkpointing) = known.ok_or_else(|| {
        StageError::new(format!("the saved policies {precision}, {checkpointing} are unknown"))
            .help("they were written by another version of the program")
    })?;
    Ok(Setting { precision, checkpointing, samples: at_most(*samples) })
}

fn at_most(samples: u64) -> usize {
    usize::try_from(samples).unwrap_or(usize::MAX)
}

fn keep_batch(kept: &mut Saved, name: &str, batch: &MicroBatch) -> Result<()> {
    let samples: Vec<&str> = batch.samples.iter().map(|sample| &**sample).collect();
    kept.set(&format!("{name}.samples"), samples)?;
    kept.set(&format!("{name}.size"), [batch.height, batch.width])?;
    kept.keep(format!("{name}.targets"), Buffer::Bytes(batch.masks.clone()));
    match &batch.pixels {
        Pixels::Bytes(pixels, normalization) => {
            kept.keep(format!("{name}.pixels"), Buffer::Bytes(pixels.clone()));
            let values = normalization.mean.iter().chain(&normalization.std).copied().collect();
            kept.keep(format!("{name}.normalization"), Buffer::Floats(values));
        }
        Pixels::Floats(values) => kept.keep(format!("{name}.values"), Buffer::Floats(values.clone())),
    }
    Ok(())
}

fn take_batch(kept: &mut Saved, name: &str) -> Result<MicroBatch> {
    let samples: Vec<String> = kept.get(&format!("{name}.samples"))?;
    let [height, width]: [usize; 2] = kept.get(&format!("{name}.size"))?;
    let masks = kept.take_bytes(&format!("{name}.targets"))?;
    let pixels = match kept.take_floats(&format!("{name}.normalization")) {
        Ok(values) => {
            let [a, b, c, d, e, f] = values[..] else { return Err(StageError::new("a saved normalisation has six values")) };
            Pixels::Bytes(kept.take_bytes(&format!("{name}.pixels"))?, Normalization { mean: [a, b, c], std: [d, e, f] })
        }
        Err(_) => Pixels::Floats(kept.take_floats(&format!("{name}.values"))?),
    };
    let masked = samples.len().checked_mul(height).and_then(|rows| rows.checked_mul(width));
    if masked != Some(masks.len()) {
        return Err(StageError::new("a saved micro-batch doesn't hold as many pixels as it says"));
    }
    Ok(MicroBatch { samples: samples.into_iter().map(Arc::from).collect(), height, width, pixels, masks })
}
