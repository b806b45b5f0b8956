//! `predict`: writes what trained models predict of photographs, at the photographs' own size: masks, probabilities and overlays.
//! What a file looks like is in `pictures`.

mod pictures;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use pipeline_contract::events::{PredictedEvent, summary};
use pipeline_contract::memory::{self, Side};
use pipeline_contract::{
    BuildContext, Checked, End, Events, Facts, ItemContext, Nothing, OptionSpec, OptionType, Output, Result, Role, Sequential,
    StageError, StageKind, fact,
};
use pipeline_images::{Batch, Classes, Original, OwnPixels};
use pipeline_metrics::Background;
use serde::Deserialize;
use serde_json::Value;

use self::pictures::{Job, Wanted, needed};
use super::prediction::{Members, Tiles, Tiling, Turn, channels, misfits, options, predict, turns};
use crate::micro_batch::{MicroBatch, Pixels};
use crate::trainee::Shared;

#[derive(Deserialize)]
struct Options {
    #[serde(flatten)]
    members: Members,
    tiles: Option<Tiles>,
    turns: String,
    threshold: Option<f32>,
    probabilities: bool,
    overlays: bool,
    field_of_view: bool,
}

pub(super) fn kind() -> StageKind {
    let kind =
        StageKind::device("predict", "writes what trained models predict of photographs, at their own size", Predict::build);
    options(kind)
        .option(OptionSpec::new(
            "probabilities",
            OptionType::Bool,
            true,
            "writes probabilities/ID.png, 16-bit grey; of several classes one file each",
        ))
        .option(OptionSpec::new(
            "overlays",
            OptionType::Bool,
            true,
            "writes overlays/ID.png, the photograph with what was predicted drawn in",
        ))
        .option(OptionSpec::new(
            "field_of_view",
            OptionType::Bool,
            false,
            "sets probabilities outside of the photograph's disc to 0, where it has a dark surround",
        ))
        .role(Role::Predictor)
        .holds(|options, inputs| inputs.first().map_or(MOST_BYTES, |images| held(options, images)))
        .check(check)
        .example("- {id: predict, use: predict, needs: [batch], with: {models: [runs/fives/model.safetensors], turns: flips}}")
}

/// What pictures that are being made may hold together, in bytes; a single one may hold more.
const MOST_BYTES: u64 = 512 << 20;

/// What a prediction and the pictures of those before it hold at most, in bytes, from what is known of the images.
fn held(options: &Value, images: &Facts) -> u64 {
    let classes = channels(options);
    let known = |name| images.integer(name);
    let seen = known(fact::HEIGHT).zip(known(fact::WIDTH)).map(|(height, width)| height.saturating_mul(width));
    let largest = images.get(fact::LARGEST).and_then(|largest| serde_json::from_value::<[u64; 2]>(largest.value.clone()).ok());
    let own = largest.map(|[height, width]| height.saturating_mul(width)).or(seen);
    let (Some(own), batch) = (own, known(fact::BATCH).unwrap_or(1)) else { return MOST_BYTES };
    let seen = seen.unwrap_or(own);
    let one = needed(own, seen, classes);
    let pictures = one.max(MOST_BYTES.min(one.saturating_mul(Background::<Result<()>>::most() as u64)));
    // Logits of a batch, and the sums over networks and turns.
    let outputs = seen.saturating_mul(batch).saturating_mul(8 * classes + 4);
    pictures.saturating_add(outputs).saturating_add(Tiles::planned(options, &[]).map_or(0, |tiles| tiles.bytes(own, classes)))
}

/// Checks that the models can be read and that the images fit them.
fn check(options: &Options, inputs: &[Facts]) -> Checked {
    let findings = misfits(&options.members, options.tiles.as_ref(), inputs.first()).1;
    Checked { findings, ..Checked::default() }
}

struct Predict {
    networks: Vec<Shared>,
    tiles: Option<Tiling>,
    turns: Vec<Turn>,
    threshold: f32,
    names: Arc<Classes>,
    channels: usize,
    wanted: Wanted,
    out: PathBuf,
    events: Arc<dyn Events>,
    /// What is being written.
    pictures: Background<()>,
    /// The first that couldn't be.
    failure: Arc<Mutex<Option<StageError>>>,
}

impl Predict {
    fn build(options: Options, cx: &BuildContext) -> Result<Self> {
        let (networks, device) = options.members.open()?;
        cx.events.summarize(summary::DEVICE, device.into());
        let _host = memory::enter(Side::Host);
        let (channels, names, threshold) = {
            let first = networks.first().ok_or_else(|| StageError::new("no model is named"))?.lock()?;
            let channels = first.network.classes;
            let named = first.card.as_ref().map(|card| card.classes.clone()).filter(|names| names.len() == channels.max(2));
            let names = named.map_or_else(|| Classes::unnamed(channels.max(2)), |names| Classes { names, ignored: false });
            (channels, names, first.card.as_ref().map_or(0.5, |card| card.threshold))
        };
        Ok(Self {
            networks,
            tiles: options.tiles.as_ref().map(|tiles| Tiling::of(tiles, None)).transpose()?,
            turns: turns(&options.turns),
            threshold: options.threshold.unwrap_or(threshold),
            names: Arc::new(names),
            channels,
            wanted: Wanted {
                probabilities: options.probabilities,
                overlays: options.overlays,
                field_of_view: options.field_of_view,
            },
            out: cx.out.clone(),
            events: cx.events.clone(),
            pictures: Background::new(MOST_BYTES),
            failure: Arc::default(),
        })
    }

    fn failed(&self) -> Result<()> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

impl Sequential for Predict {
    type In = Batch;
    type Out = Nothing;

    fn item(&mut self, mut batch: Batch, cx: &ItemContext<'_>, _: &mut Output<'_, Nothing>) -> Result<()> {
        self.failed()?;
        let originals = std::mem::take(&mut batch.originals);
        let batch = MicroBatch::of(batch, self.channels);
        let outputs = predict(&self.networks, &batch, self.tiles.as_ref(), &self.turns, (&*self.events, cx.epoch))?;
        let _host = memory::enter(Side::Host);
        let Pixels::Bytes(images, _) = &batch.pixels else { return Ok(()) };
        let size = [batch.height, batch.width];
        let images = images.chunks_exact(3 * size[0] * size[1]);
        let (mut originals, mut samples) = (originals.into_iter(), batch.samples.iter());
        for (output, image) in outputs.into_iter().zip(images) {
            let original = originals.next().flatten().map_or_else(|| of_pair(size), |original| *original);
            let photograph = match &original.pixels {
                _ if !self.wanted.overlays && !self.wanted.field_of_view => Vec::new(),
                OwnPixels::Kept(_) => Vec::new(),
                OwnPixels::OfPair | OwnPixels::Dropped => image.to_vec(),
            };
            let Some(sample) = samples.next() else { return Ok(()) };
            let job = Job {
                sample: sample.clone(),
                output,
                channels: self.channels,
                across: size[1],
                original,
                photograph,
                names: self.names.clone(),
                threshold: self.threshold,
                wanted: self.wanted,
                out: self.out.clone(),
            };
            let (failure, events, bytes) = (self.failure.clone(), self.events.clone(), job.bytes());
            let write = move || {
                let _host = memory::enter(Side::Host);
                let (sample, size) = (job.sample.to_string(), [job.original.height, job.original.width]);
                match job.write() {
                    Ok(()) => events.record(PredictedEvent { sample, height: size[0] as u64, width: size[1] as u64 }.into()),
                    Err(error) => drop(failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error)),
                }
            };
            self.pictures.start(bytes, write).map_err(panicked)?;
        }
        Ok(())
    }

    fn finish(&mut self, _: End) -> Result<()> {
        let _host = memory::enter(Side::Host);
        self.pictures.finish().map_err(panicked)?;
        self.failed()
    }
}

/// Stands in for the original where no stage kept one: the pair itself.
fn of_pair([height, width]: [usize; 2]) -> Original {
    let shown = [0, 0, height, width];
    Original { height, width, mask: Vec::new(), pixels: OwnPixels::OfPair, inside: None, shown }
}

fn panicked(words: String) -> StageError {
    StageError::new(format!("the pictures of a prediction can't be made: {words}")).help("this is a bug of the program")
}
