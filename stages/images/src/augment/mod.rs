//! `augment`: another look of the same sample in each epoch. Image and mask move together; everything else changes the
//! image alone. Each file here is one kind of change; `drawn` is what is random about them.

mod blur;
mod clahe;
mod colour;
mod dihedral;
mod drawn;
mod dropout;
mod elastic;
mod gaussian_noise;
mod geometry;
mod options;
mod recompressed;
#[cfg(test)]
mod tests;

use pipeline_contract::{Checked, Facts, ItemContext, Map, Result, StageKind, fact};

use crate::payload::pixels;
use crate::{ImagePair, Original};

use colour::Colours;
use dihedral::Dihedral;
use drawn::Drawn;
use elastic::Field;
use geometry::Geometry;
use options::Options;

/// Declares `augment`.
///
/// The changes are made in the order in which a photograph comes about, which is also that of the options: the pixels are moved (`flip`, `rotate90`, `rotate`,
/// `scale`, `elastic`: one resampling at most), coloured (`green` or `hue` and `saturation`, `falloff`, `contrast`, `brightness`, `gamma`: one pass),
/// equalised (`clahe`), blurred, made noisy, compressed, and covered (`dropout`).
pub fn kind() -> StageKind {
    let kind = StageKind::map(
        "augment",
        "moves, recolours and degrades each sample at random, differently in each epoch",
        |options: Options, _| Ok(Augment(options)),
    );
    options::specs()
        .into_iter()
        .fold(kind, StageKind::option)
        .check::<Options>(|options, inputs| {
            let mut facts = inputs.first().cloned().unwrap_or_default();
            let findings = options.findings(&facts);
            if let Some(option) = options.moving() {
                Original::lose(&mut facts, option);
            }
            Checked { facts, findings }
        })
        .draws::<Options>(Options::draws)
        .holds(|options, inputs| {
            let options = serde_json::from_value::<Options>(options.clone()).ok();
            options.zip(inputs.first()).map_or(0, |(options, facts)| scratch(&options, facts))
        })
        .example("- {id: augment, use: augment, with: {flip: true, rotate90: true, brightness: 0.2, contrast: 0.2}}")
}

/// Bytes that a worker takes at most beside the pair: its changes come one after the other.
fn scratch(options: &Options, facts: &Facts) -> u64 {
    let Some(pixels) = pixels(facts) else { return 0 };
    let field = options.elastic.map(|elastic| Field::bytes(pixels, elastic.sigma.low));
    let moved = options.rotate > 0.0 || options.scale > 0.0 || field.is_some();
    let (height, width) = (facts.integer(fact::HEIGHT), facts.integer(fact::WIDTH));
    let blurred = options.blur.map(|blur| blur::bytes(height.unwrap_or(pixels), width.unwrap_or(1), blur.sigma.high));
    let each = [
        if moved { pixels.saturating_mul(4).saturating_add(field.unwrap_or(0)) } else { 0 },
        options.clahe.map_or(0, |clahe| pixels.saturating_add(256 * (clahe.grid * clahe.grid) as u64)),
        blurred.unwrap_or(0),
        // The file, which hardly ever is larger than its pixels, and what the decoder holds of them.
        options.jpeg.map_or(0, |_| pixels.saturating_mul(6)),
    ];
    each.into_iter().max().unwrap_or(0)
}

struct Augment(Options);

impl Map for Augment {
    type In = ImagePair;
    type Out = ImagePair;

    fn map(&self, pair: ImagePair, cx: &ItemContext<'_>) -> Result<ImagePair> {
        let (options, drawn) = (&self.0, Drawn::new(&mut cx.rng()));
        let mut pair = moved(pair, options, &drawn);
        let (image, height, width) = (&mut pair.image, pair.height, pair.width);
        Colours::new(options, &drawn).apply(image, height, width);
        if let Some(clahe) = options.clahe.filter(|clahe| drawn.clahe.within(clahe.share)) {
            clahe::equalise(image, height, width, clahe.clip_limit, clahe.grid);
        }
        if let Some(blur) = options.blur.filter(|blur| drawn.blur.within(blur.share)) {
            blur::blur(image, height, width, blur.sigma.at(drawn.blur_sigma));
        }
        if options.noise > 0.0 {
            gaussian_noise::add_noise(image, options.noise * drawn.noise, drawn.noise_seed);
        }
        if let Some(jpeg) = options.jpeg.filter(|jpeg| drawn.jpeg.within(jpeg.share)) {
            recompressed::recompress(image, height, width, jpeg.quality.whole(drawn.jpeg_quality) as u8)?;
        }
        if let Some(dropout) = options.dropout.filter(|dropout| drawn.dropout.within(dropout.share)) {
            dropout::cover(image, height, width, dropout, drawn.dropout_seed);
        }
        Ok(pair)
    }
}

/// The pair with its pixels moved: exactly where they are only flipped and turned by quarters, by one resampling otherwise.
fn moved(mut pair: ImagePair, options: &Options, drawn: &Drawn) -> ImagePair {
    let (height, width) = (pair.height, pair.width);
    let quarters = match (options.rotate90, height == width) {
        (false, _) => 0,
        (true, true) => drawn.quarters,
        (true, false) => drawn.quarters / 2 * 2,
    };
    let moves = Dihedral::new(options.flip && drawn.up_down, options.flip && drawn.left_right, quarters);
    pair.original = pair.original.filter(|_| options.moving().is_none());
    let elastic = options.elastic.filter(|elastic| drawn.elastic.within(elastic.share));
    if options.rotate > 0.0 || options.scale > 0.0 || elastic.is_some() {
        let field = |elastic: options::Elastic| {
            let (alpha, sigma) = (elastic.alpha.at(drawn.elastic_alpha), elastic.sigma.at(drawn.elastic_sigma));
            Field::new(height, width, alpha, sigma, drawn.elastic_seed)
        };
        let angle = (options.rotate * drawn.rotate).to_radians();
        let zoom = 1.0 + options.scale * drawn.scale;
        return Geometry { moves, angle, zoom, elastic: elastic.map(field) }.apply(&pair);
    }
    moves.apply::<3>(&mut pair.image, height, width);
    moves.apply::<1>(&mut pair.mask, height, width);
    pair
}
