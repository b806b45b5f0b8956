//! `crop`: several pieces of each photograph, at its own size. Which pieces depends on the sample and the epoch. Resizes nothing.

use pipeline_contract::{
    Checked, Facts, Finding, FlatMap, ItemContext, OptionSpec, OptionType, Place, Result, Rng, StageError, StageKind, fact,
};
use rand::RngExt;
use serde::Deserialize;
use serde_json::json;

use crate::cut::{Beyond, cut};
use crate::values::height_width;
use crate::{IGNORED, ImagePair, MaskKind, Original, VESSEL};

#[derive(Deserialize)]
struct Options {
    #[serde(deserialize_with = "height_width")]
    size: [usize; 2],
    per_image: usize,
    vessels: f64,
}

/// Declares `crop`.
///
/// A piece is centred on a vessel pixel with the probability `vessels`, as far as the image's edges allow. Each vessel pixel is as likely as any other;
/// of masks with `labels`, each pixel of any class but the background. Otherwise, and where the mask shows no vessel, each place of the piece within
/// the image is as likely as any other. An image that is smaller than a piece is reflected at its edges, and its mask with it; half of what is
/// missing is added before it.
pub fn kind() -> StageKind {
    let side = || OptionType::Integer { min: 1, max: 1 << 15 };
    StageKind::flat_map(
        "crop",
        "takes several pieces of each image at its own size, differently in each epoch",
        |options: &Options| options.per_image as u64,
        |options: Options, _| Ok(Crop(options)),
    )
    .option(OptionSpec::required(
        "size",
        OptionType::AnyOf(vec![side(), OptionType::List { of: Box::new(side()), min: 2, max: 2 }]),
        "height and width of a piece in pixels: one number for a square, or [height, width]. A smaller image is reflected at its edges",
    ))
    .option(
        OptionSpec::new(
            "per_image",
            OptionType::Integer { min: 1, max: 4096 },
            1,
            "pieces of each image; each counts as a sample of the epoch, and they follow each other",
        )
        .fixed(),
    )
    .option(OptionSpec::new(
        "vessels",
        OptionType::Number { min: 0.0, max: 1.0 },
        0.5,
        "share of the pieces that are centred on a random vessel pixel; the others lie anywhere",
    ))
    .check::<Options>(|options, inputs| {
        let mut facts = inputs.first().cloned().unwrap_or_default();
        let findings = smaller(options, &facts).into_iter().collect();
        Original::lose(&mut facts, "size");
        facts.set(fact::CROPPED, json!(options.size), "size");
        facts.set(fact::HEIGHT, options.size[0], "size");
        facts.set(fact::WIDTH, options.size[1], "size");
        if let Some(samples) = facts.integer(fact::SAMPLES) {
            facts.set(fact::SAMPLES, samples.saturating_mul(options.per_image as u64), "per_image");
        }
        Checked { facts, findings }
    })
    .draws::<Options>(|_| true)
    .example("- {id: crop, use: crop, with: {size: 512, per_image: 8, vessels: 0.5}}")
}

/// A warning where all images are known to be smaller than a piece.
fn smaller(options: &Options, facts: &Facts) -> Option<Finding> {
    let side = |name: &str| facts.integer(name);
    let (height, width) = (side(fact::HEIGHT)?, side(fact::WIDTH)?);
    let [piece_height, piece_width] = options.size;
    (height < piece_height as u64 || width < piece_width as u64).then(|| {
        let message = format!("the images of {height} x {width} are smaller than the pieces of {piece_height} x {piece_width}");
        Finding::warning(Place::Option("size".into()), format!("{message}, and are reflected at their edges"))
            .help("make the pieces smaller")
    })
}

struct Crop(Options);

impl FlatMap for Crop {
    type In = ImagePair;
    type Out = ImagePair;

    fn flat_map(&self, pair: ImagePair, cx: &ItemContext<'_>) -> Result<Vec<ImagePair>> {
        let Options { size, per_image, vessels } = self.0;
        let (vessel_pixels, mut rng) = (VesselPixels::of(&pair), cx.rng());
        (0..per_image)
            .map(|_| {
                let centre = rng.random_bool(vessels).then(|| vessel_pixels.draw(&pair, &mut rng)).flatten();
                let [top, left] = [(pair.height, size[0]), (pair.width, size[1])].map(|(side, piece)| Axis { side, piece });
                let start = match centre {
                    Some([y, x]) => [top.around(y), left.around(x)],
                    None => [top.anywhere(&mut rng), left.anywhere(&mut rng)],
                };
                piece(&pair, start, size)
            })
            .collect()
    }
}

/// One side of the image and of the piece, in pixels.
#[derive(Clone, Copy)]
struct Axis {
    side: usize,
    piece: usize,
}

impl Axis {
    /// The last place where a piece may begin, if the image is no smaller.
    fn last(self) -> Option<usize> {
        self.side.checked_sub(self.piece)
    }

    /// Where a smaller image's only piece begins: before the image.
    fn before(self) -> isize {
        -(((self.piece - self.side.min(self.piece)) / 2) as isize)
    }

    /// Where a piece begins whose middle is `at`, or as near to it as the edges allow.
    fn around(self, at: usize) -> isize {
        self.last().map_or_else(|| self.before(), |last| at.saturating_sub(self.piece / 2).min(last) as isize)
    }

    /// A random place.
    fn anywhere(self, rng: &mut Rng) -> isize {
        self.last().map_or_else(|| self.before(), |last| rng.random_range(0..=last as u64) as isize)
    }
}

/// How many vessel pixels the rows of a mask have.
struct VesselPixels {
    /// For each row, those in it and the rows above.
    until: Vec<u64>,
}

impl VesselPixels {
    fn of(pair: &ImagePair) -> Self {
        let rows = pair.mask.chunks_exact(pair.width.max(1));
        let until = rows.scan(0, |sum, row| {
            *sum += row.iter().filter(|&&value| is_vessel(pair.kind, value)).count() as u64;
            Some(*sum)
        });
        Self { until: until.collect() }
    }

    /// A random one, as `[row, column]`; `None` where there is none.
    fn draw(&self, pair: &ImagePair, rng: &mut Rng) -> Option<[usize; 2]> {
        let all = self.until.last().copied().filter(|&all| all > 0)?;
        let drawn = rng.random_range(0..all);
        let row = self.until.partition_point(|&until| until <= drawn);
        let before = row.checked_sub(1).map_or(0, |above| self.until[above]);
        let values = pair.mask.get(row * pair.width..(row + 1) * pair.width)?;
        let mut vessels = values.iter().enumerate().filter(|&(_, &value)| is_vessel(pair.kind, value));
        vessels.nth((drawn - before) as usize).map(|(column, _)| [row, column])
    }
}

fn is_vessel(kind: MaskKind, value: u8) -> bool {
    match kind {
        MaskKind::Share => value >= VESSEL,
        MaskKind::Class => value != 0 && value != IGNORED,
    }
}

/// The piece of `[height, width]` that begins at `[row, column]`, which may lie before the image.
fn piece(pair: &ImagePair, start: [isize; 2], size: [usize; 2]) -> Result<ImagePair> {
    let [height, width] = size;
    let (mut image, mut mask) = (room(height, width, 3)?, room(height, width, 1)?);
    let whole = [pair.height, pair.width];
    cut::<3>(&pair.image, whole, start, size, Beyond::Reflection, &mut image);
    cut::<1>(&pair.mask, whole, start, size, Beyond::Reflection, &mut mask);
    Ok(ImagePair {
        height,
        width,
        image,
        mask,
        kind: pair.kind,
        normalization: pair.normalization,
        original: None,
        doubts: Vec::new(),
    })
}

/// Asked for, not demanded: where the system has no such room, that is the run's error and not the process's end.
fn room(height: usize, width: usize, channels: usize) -> Result<Vec<u8>> {
    let mut values = Vec::new();
    match values.try_reserve_exact(height * width * channels) {
        Ok(()) => Ok(values),
        Err(_) => Err(StageError::new(format!("no memory for a piece of {width} x {height} pixels"))
            .help("lower `size` or `per_image` of the crop stage")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pipeline_contract::{Item, Payload, Running};
    use serde_json::Value;

    use super::*;
    use crate::testing::{build, context, defaults, distinct, item_context};

    /// The ids and pieces of a pair.
    fn pieces(given: Value, pair: &ImagePair, sample: &str, epoch: u64) -> Vec<(String, ImagePair)> {
        let Running::FlatMap(stage) = build(&kind(), given, &context()).unwrap() else { panic!("not a flat map") };
        let made = stage.flat_map(Item::new(epoch, sample, pair.clone()), &item_context(sample, epoch)).unwrap();
        made.into_iter().map(|item| (item.sample.to_string(), item.take().unwrap())).collect()
    }

    /// A pair in which red tells the row and green the column, with vessels at these places.
    fn places(height: usize, width: usize, vessels: &[[usize; 2]]) -> ImagePair {
        let image = (0..height * width).flat_map(|at| [(at / width) as u8, (at % width) as u8, 9]).collect();
        let mut mask = vec![0; height * width];
        vessels.iter().for_each(|&[row, column]| mask[row * width + column] = 255);
        ImagePair { image, mask, ..distinct(height, width) }
    }

    /// Where a piece begins.
    fn corner(piece: &ImagePair) -> [u8; 2] {
        [piece.image[0], piece.image[1]]
    }

    #[test]
    fn pieces_are_cut_out_of_image_and_mask_and_depend_on_sample_and_epoch_alone() {
        let pair = places(40, 60, &[[7, 8], [30, 50]]);
        let given = json!({"size": [16, 24], "per_image": 5});
        let made = pieces(given.clone(), &pair, "17_A", 3);
        assert_eq!(
            made.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(),
            ["17_A#1", "17_A#2", "17_A#3", "17_A#4", "17_A#5"]
        );
        for (_, piece) in &made {
            assert_eq!((piece.height, piece.width, piece.bytes()), (16, 24, 16 * 24 * 4));
            let [top, left] = corner(piece).map(usize::from);
            for (at, pixel) in piece.image.as_chunks::<3>().0.iter().enumerate() {
                let (row, column) = (top + at / 24, left + at % 24);
                assert_eq!(*pixel, [row as u8, column as u8, 9]);
                assert_eq!(piece.mask[at], pair.mask[row * 60 + column]);
            }
        }
        assert_eq!(made, pieces(given.clone(), &pair, "17_A", 3));
        let corners = |made: Vec<(String, ImagePair)>| made.iter().map(|(_, piece)| corner(piece)).collect::<Vec<_>>();
        let own = corners(made);
        assert_ne!(own, corners(pieces(given.clone(), &pair, "17_A", 4)));
        assert_ne!(own, corners(pieces(given, &pair, "18_A", 3)));
    }

    #[test]
    fn a_share_is_centred_on_vessels_each_as_often_and_within_the_image() {
        // In the middle, and so near to an edge that the piece can't be centred.
        let pair = places(50, 50, &[[20, 25], [49, 2]]);
        let given = |vessels: f64| json!({"size": 9, "per_image": 4000, "vessels": vessels});
        let made = pieces(given(1.0), &pair, "a", 0);
        let middle = made.iter().filter(|(_, piece)| corner(piece) == [16, 21]).count();
        let edge = made.iter().filter(|(_, piece)| corner(piece) == [41, 0]).count();
        assert_eq!(middle + edge, 4000);
        assert!((1850..2150).contains(&middle), "{middle} of 4000");
        let half = pieces(given(0.5), &pair, "a", 0);
        let centred = half.iter().filter(|(_, piece)| [[16, 21], [41, 0]].contains(&corner(piece))).count();
        // Of the others, two of 42 x 42 places are these.
        assert!((1850..2160).contains(&centred), "{centred} of 4000");
        let anywhere: BTreeSet<_> = pieces(given(0.0), &pair, "a", 0).iter().map(|(_, piece)| corner(piece)).collect();
        assert!(anywhere.len() > 1500 && anywhere.iter().all(|[top, left]| *top <= 41 && *left <= 41), "{}", anywhere.len());
        assert!(
            [0, 41]
                .iter()
                .all(|edge| anywhere.iter().any(|[top, _]| top == edge) && anywhere.iter().any(|[_, left]| left == edge))
        );
    }

    #[test]
    fn vessels_are_shares_of_a_half_or_classes_and_where_there_are_none_pieces_lie_anywhere() {
        let centred = |kind, value| {
            let mut pair = ImagePair { kind, ..places(30, 30, &[]) };
            pair.mask[15 * 30 + 15] = value;
            let made = pieces(json!({"size": 5, "per_image": 20, "vessels": 1.0}), &pair, "a", 0);
            made.iter().all(|(_, piece)| corner(piece) == [13, 13])
        };
        assert!(centred(MaskKind::Share, 128) && !centred(MaskKind::Share, 127));
        assert!(centred(MaskKind::Class, 1) && centred(MaskKind::Class, 2) && !centred(MaskKind::Class, IGNORED));
    }

    #[test]
    fn a_smaller_image_is_reflected_and_its_mask_with_it() {
        let pair = places(3, 4, &[[0, 1]]);
        let (_, piece) = pieces(json!({"size": [8, 4]}), &pair, "a", 0).remove(0);
        let rows: Vec<u8> = piece.image.chunks(12).map(|row| row[0]).collect();
        assert_eq!(rows, [2, 1, 0, 1, 2, 1, 0, 1], "2 of the 5 missing rows before it, again and again");
        let columns: Vec<u8> = piece.image[..12].chunks(3).map(|pixel| pixel[1]).collect();
        assert_eq!(columns, [0, 1, 2, 3]);
        let vessels: Vec<usize> = (0..32).filter(|&at| piece.mask[at] == 255).collect();
        assert_eq!(vessels, [2 * 4 + 1, 6 * 4 + 1]);
        // One row has no other to show.
        let (_, single) = pieces(json!({"size": 5}), &places(1, 9, &[]), "a", 0).remove(0);
        assert!(single.image.chunks(3).all(|pixel| pixel[0] == 0));
    }

    #[test]
    fn sizes_and_samples_are_facts() {
        let mut options = defaults(&kind());
        (options["size"], options["per_image"]) = (json!([32, 48]), json!(6));
        let mut facts = Facts::default();
        facts.set(fact::SAMPLES, 7, "pairs");
        facts.set(fact::HEIGHT, 64, "size");
        facts.set(fact::WIDTH, 48, "size");
        let checked = kind().run_check(&options, &[facts.clone()]).unwrap();
        let known = [fact::HEIGHT, fact::WIDTH, fact::SAMPLES].map(|name| checked.facts.integer(name));
        assert_eq!(known, [Some(32), Some(48), Some(42)]);
        assert!(checked.findings.is_empty());
        facts.set(fact::WIDTH, 47, "size");
        assert_eq!(kind().run_check(&options, &[facts]).unwrap().findings.len(), 1);
        assert_eq!(kind().run_check(&options, &[Facts::default()]).unwrap().facts.integer(fact::SAMPLES), None);
        assert_eq!(kind().pieces(&options), 6);
    }
}
