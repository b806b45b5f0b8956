//! Whether a decoded file is likely to hold what it will be read as: a photograph's range, a binary mask's values. Looks at decoded pixels;
//! changes none. What is most likely misread is an error; what may be right all the same is a [`Doubt`].

use std::fmt::Display;
use std::ops::Range;

use image::DynamicImage;
use image::metadata::Orientation;
use pipeline_contract::{Result, StageError};

use crate::labels::shown;

/// Something odd about a file that may be right all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// What kind of thing it is.
    pub(crate) kind: Kind,
    /// What was found, with the file's name and the mend.
    pub(crate) words: String,
}

/// Kinds of doubts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A photograph that uses a quarter of its range.
    Range,
    /// A mask without vessels, but not without values.
    Faint,
    /// A mask with colours that channel 0 doesn't show.
    Colours,
    /// A mask of several grey values.
    Values,
    /// A mask that is mostly vessel.
    Share,
    /// A mask of middle greys.
    Grey,
    /// A photograph that viewers turn, and its mask not.
    Orientation,
    /// A photograph that was turned, since its mask fits only then.
    Turned,
    /// Pixels that viewers hide, and that are read.
    Alpha,
}

impl Kind {
    /// Its name in figures and summaries.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Range => "photograph_range",
            Self::Faint => "mask_faint",
            Self::Colours => "mask_colours",
            Self::Values => "mask_values",
            Self::Share => "mask_share",
            Self::Grey => "mask_grey",
            Self::Orientation => "orientation",
            Self::Turned => "orientation_applied",
            Self::Alpha => "alpha",
        }
    }
}

/// Looks at a photograph's range, and at what its alpha hides.
///
/// # Errors
/// When 16-bit samples hold no more than 12 bits, or float samples aren't of 0 to 1.
pub(crate) fn photograph(name: impl Display, pixels: &DynamicImage) -> Result<Option<Doubt>> {
    let doubt = range(&name, pixels)?;
    let (channels, width) = (usize::from(pixels.color().channel_count()), pixels.width() as usize);
    let hidden = match pixels {
        DynamicImage::ImageLumaA8(pixels) => Samples { values: pixels, channels, width, range: 255 }.hidden(&name),
        DynamicImage::ImageRgba8(pixels) => Samples { values: pixels, channels, width, range: 255 }.hidden(&name),
        DynamicImage::ImageLumaA16(pixels) => Samples { values: pixels, channels, width, range: 65535 }.hidden(&name),
        DynamicImage::ImageRgba16(pixels) => Samples { values: pixels, channels, width, range: 65535 }.hidden(&name),
        _ => None,
    };
    Ok(doubt.or(hidden))
}

fn range(name: impl Display, pixels: &DynamicImage) -> Result<Option<Doubt>> {
    match pixels {
        DynamicImage::ImageLuma16(pixels) => bits(name, pixels.iter().copied()),
        DynamicImage::ImageLumaA16(pixels) => bits(name, pixels.pixels().map(|pixel| pixel.0[0])),
        DynamicImage::ImageRgb16(pixels) => bits(name, pixels.iter().copied()),
        DynamicImage::ImageRgba16(pixels) => bits(name, pixels.pixels().flat_map(|pixel| [pixel.0[0], pixel.0[1], pixel.0[2]])),
        float => unit(name, float, |_, _| false).map(|()| None),
    }
}

/// Looks at a binary mask, which will be vessel where channel 0 is above half of its range.
///
/// # Errors
/// When its vessels are likely in something else: in other channels, in alpha, or in values below half.
pub(crate) fn mask(name: impl Display, pixels: &DynamicImage) -> Result<Option<Doubt>> {
    let channels = usize::from(pixels.color().channel_count());
    let width = pixels.width() as usize;
    let look = |samples: Samples<'_, u8>| samples.look(&name);
    match pixels {
        DynamicImage::ImageLuma16(pixels) => Samples { values: pixels, channels, width, range: 65535 }.look(&name),
        DynamicImage::ImageLumaA16(pixels) => Samples { values: pixels, channels, width, range: 65535 }.look(&name),
        DynamicImage::ImageRgb16(pixels) => Samples { values: pixels, channels, width, range: 65535 }.look(&name),
        DynamicImage::ImageRgba16(pixels) => Samples { values: pixels, channels, width, range: 65535 }.look(&name),
        DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_) => {
            unit(&name, pixels, |value, max| value == 0.0 || value == max)?;
            look(Samples { values: &pixels.to_rgb8(), channels: 3, width, range: 255 })
        }
        narrow => look(Samples { values: narrow.as_bytes(), channels, width, range: 255 }),
    }
}

/// Looks at a mask whose values are looked up in `labels`.
///
/// # Errors
/// When float samples are neither of 0 to 1 nor 0 and 255: they would be cut off at 1.
pub(crate) fn labelled(name: impl Display, pixels: &DynamicImage) -> Result<()> {
    unit(name, pixels, |value, _| value == 0.0 || value == 255.0)
}

/// How far float samples may be beyond 0 and 1: resampling overshoots.
const OVERSHOOT: f32 = 0.25;

/// Float samples must be of 0 to 1, unless `accepts` takes each, given the largest. Alpha isn't looked at.
fn unit(name: impl Display, pixels: &DynamicImage, accepts: impl Fn(f32, f32) -> bool) -> Result<()> {
    let (values, channels) = match pixels {
        DynamicImage::ImageRgb32F(pixels) => (pixels.as_raw(), 3),
        DynamicImage::ImageRgba32F(pixels) => (pixels.as_raw(), 4),
        _ => return Ok(()),
    };
    let values = || values.chunks_exact(channels).flat_map(|pixel| pixel[..3].iter().copied());
    if values().any(|value| !value.is_finite()) {
        return Err(StageError::new(format!("{name} has float samples that aren't finite"))
            .help("save it with 8 or 16 bits a channel, or exclude this sample"));
    }
    let (min, max) = values().fold((f32::MAX, f32::MIN), |(min, max), value| (min.min(value), max.max(value)));
    if (min >= -OVERSHOOT && max <= 1.0 + OVERSHOOT) || values().all(|value| accepts(value, max)) {
        return Ok(());
    }
    let help = match min >= 0.0 && max <= 255.0 {
        true => "divide them by 255, or save it with 8 bits a channel (numpy: .astype(\"uint8\"))",
        false => "scale them to 0 to 1, or save it with 8 or 16 bits a channel",
    };
    Err(StageError::new(format!("{name} has float samples from {min} to {max}, and those of an image are from 0 to 1"))
        .help(help))
}

/// Whether 16-bit colours use their range. Those that were made of 8 bits are multiples of 257, and dark where they are small.
fn bits(name: impl Display, values: impl Iterator<Item = u16>) -> Result<Option<Doubt>> {
    let (max, of_bytes) =
        values.fold((0, true), |(max, of_bytes), value| (value.max(max), of_bytes && value.is_multiple_of(257)));
    let Some(bits) = [8, 10, 12, 14].into_iter().find(|bits| u32::from(max) < 1 << bits).filter(|_| !of_bytes) else {
        return Ok(None);
    };
    let words = format!("{name} has no value above {} of 65535: {bits} bits in 16?", (1_u32 << bits) - 1);
    let mend = format!("multiply its values by {}, or save it with 8 bits a channel", 1_u32 << (16 - bits));
    if bits == 14 {
        return Ok(Some(Doubt {
            kind: Kind::Range,
            words: format!("{words} It is read as dark as that. If it isn't, {mend}"),
        }));
    }
    Err(StageError::new(words).help(format!("{mend}; or exclude this sample if it is black")))
}

/// The most grey values of a mask that are taken for labels rather than for shades.
const LABELS: usize = 32;

/// The fewest pixels of which values tell what a mask holds.
const LEAST: usize = 128;

/// The values of a mask, `[height, width, channels]`, from 0 to `range`.
struct Samples<'a, T> {
    values: &'a [T],
    channels: usize,
    width: usize,
    range: u32,
}

/// Counts of a mask's pixels.
#[derive(Default)]
struct Counts {
    /// Brighter in another channel than in channel 0, which isn't vessel.
    hidden: usize,
    /// Vessel that alpha hides.
    transparent: usize,
    /// The first that is hidden, and its place.
    first: Option<(usize, [u32; 3])>,
}

impl<T: Copy + Into<u32>> Samples<'_, T> {
    fn look(&self, name: &impl Display) -> Result<Option<Doubt>> {
        let pixels = self.values.len() / self.channels.max(1);
        // Too few to tell anything.
        if pixels < LEAST {
            return Ok(None);
        }
        // One pass over channel 0, and one over the others.
        let shades = self.shades();
        let sum = |values: Range<u32>| {
            shades[values.start as usize..values.end as usize].iter().map(|&count| count as usize).sum::<usize>()
        };
        let present = (0..).zip(&shades).filter(|(_, count)| **count > 0).map(|(value, _)| value);
        let greys: Vec<u32> = present.take(LABELS + 1).collect();
        let low = (greys[0], shades.iter().rposition(|&count| count > 0).map_or(0, |value| value as u32));
        // Of two values the larger is vessel.
        let half = match greys.as_slice() {
            [lower, _] => *lower,
            _ if low.1 <= 1 => 0,
            _ => self.range / 2,
        };
        self.constant(name, low)?;
        let vessel = sum(half + 1..self.range + 1);
        let counts = self.counts(half);
        if let Some((at, colour)) = counts.first {
            let (x, y) = (at % self.width.max(1), at / self.width.max(1));
            let found = format!("has the colour {} at ({x}, {y}), which channel 0 doesn't show", shown(colour));
            // Few are noise; and a coloured background is none of several classes.
            if counts.hidden * 100 > counts.hidden + vessel && pixels - vessel - counts.hidden > counts.hidden {
                return Err(StageError::new(format!("{name} {found}: which of its colours is vessel?")).help(COLOURS));
            }
            let words = format!("the mask {name} {found}. If it is vessel, name the colours in `labels` of the decode stage");
            return Ok(Some(Doubt { kind: Kind::Colours, words }));
        }
        let max = low.1;
        if max > 1 && max <= half {
            // Labels of vessels are mostly background.
            let background = shades[greys[0] as usize] as usize;
            if (3..=LABELS).contains(&greys.len()) && background * 2 > pixels {
                let message = format!("{name} holds the values {}, and none is above {half}, as vessel is", listed(&greys));
                let mend = match max {
                    ..=255 => {
                        "name all of them in `labels` of the decode stage, such as labels: {artery: 1, vein: 2}; or save it"
                    }
                    _ => "save it with 8 bits and name its values in `labels` of the decode stage, or save it",
                };
                return Err(StageError::new(message).help(format!("{mend} with 0 and {}", self.range)));
            }
            let words = format!(
                "the mask {name} holds no value above {max}: none of it is vessel, which is above {half}. If its values are classes, \
                 name them in `labels` of the decode stage"
            );
            return Ok(Some(Doubt { kind: Kind::Faint, words }));
        }
        let small = greys.iter().filter(|&&value| value > 0 && value <= half);
        // Two kinds of vessel, or one that is uncertain; values next to the ends are a JPEG's noise.
        let between = |&value: &u32| value >= self.range / 16 && value <= self.range - self.range / 16;
        if (3..=4).contains(&greys.len()) && (small.clone().next().is_some() || greys.iter().any(between))
            || (3..=8).contains(&greys.len()) && small.clone().any(|&value| value < 16)
        {
            let words = format!(
                "the mask {name} holds the values {}, and only those above {half} are vessel. If they are classes, name them in `labels` of \
                 the decode stage",
                listed(&greys)
            );
            return Ok(Some(Doubt { kind: Kind::Values, words }));
        }
        if counts.transparent * 2 > vessel {
            let words =
                format!("most vessels of the mask {name} are transparent, and alpha isn't read. If they are none, {FLATTEN}",);
            return Ok(Some(Doubt { kind: Kind::Alpha, words }));
        }
        let percent = |count: usize| count * 100 / pixels.max(1);
        if vessel * 2 > pixels {
            let words = format!(
                "{}% of the mask {name} is vessel, and vessels are 5 to 25% of a photograph: is it inverted, or a field of view? Where \
                 vessels are black, decode takes labels: {{vessel: 0, background: {}}}",
                percent(vessel),
                self.range.min(255),
            );
            return Ok(Some(Doubt { kind: Kind::Share, words }));
        }
        let grey = sum(self.range / 4 + 1..self.range / 4 * 3);
        Ok((max > 1 && greys.len() > 2 && grey * 4 > pixels).then(|| Doubt {
            kind: Kind::Grey,
            words: format!("{}% of the mask {name} is neither dark nor bright: is it a photograph?", percent(grey)),
        }))
    }

    /// An error where channel 0 is the same everywhere, and the mask in another channel.
    fn constant(&self, name: &impl Display, (min, max): (u32, u32)) -> Result<()> {
        if min != max {
            return Ok(());
        }
        let differs = |channel: usize, by: u32| {
            let (min, max) = self.extremes(channel);
            max - min > by
        };
        let colours = if self.channels >= 3 { 1..3 } else { 1..1 };
        // Less is a JPEG's noise.
        if colours.clone().any(|channel| differs(channel, self.range / 4)) {
            let message = format!("{name} has {max} of {} in channel 0 everywhere, and differs in others", self.range);
            return Err(StageError::new(format!("{message}: which of its colours is vessel?")).help(COLOURS));
        }
        let alpha = [2, 4].contains(&self.channels).then(|| self.channels - 1);
        if alpha.is_some_and(|alpha| differs(alpha, self.range / 2)) && !colours.clone().any(|channel| differs(channel, 0)) {
            let message = format!("{name} has one colour everywhere, and only its alpha differs, which is not read");
            return Err(StageError::new(message).help("if alpha is the mask, save it as grey values: white vessels on black"));
        }
        Ok(())
    }

    /// A doubt where pixels that aren't black are transparent: more than a hundredth of all.
    fn hidden(&self, name: &impl Display) -> Option<Doubt> {
        let transparent = |pixel: &[T]| match pixel {
            [colours @ .., alpha] => {
                (*alpha).into() <= self.range / 4 && colours.iter().any(|&value| value.into() > self.range / 32)
            }
            [] => false,
        };
        let pixels = self.values.chunks_exact(self.channels.max(1));
        let (all, count) = (pixels.len(), pixels.filter(|pixel| transparent(pixel)).count());
        (count * 100 > all).then(|| Doubt {
            kind: Kind::Alpha,
            words: format!(
                "{}% of the photograph {name} is transparent, and alpha isn't read: the colours beneath are. If they are none of it, {FLATTEN}",
                count * 100 / all
            ),
        })
    }

    fn extremes(&self, channel: usize) -> (u32, u32) {
        let values = self.values.iter().skip(channel).step_by(self.channels.max(1)).map(|&value| value.into());
        let (min, max) = values.fold((u32::MAX, 0), |(min, max): (u32, u32), value| (min.min(value), max.max(value)));
        (min.min(max), max)
    }

    /// How many pixels have each value in channel 0.
    fn shades(&self) -> Vec<u32> {
        let mut counts = vec![0; self.range as usize + 1];
        // Equal pixels follow each other.
        let (mut last, mut run) = (0, 0);
        for value in self.values.iter().step_by(self.channels.max(1)).map(|&value| value.into()) {
            if value != last {
                counts[last as usize] += run;
                (last, run) = (value, 0);
            }
            run += 1;
        }
        counts[last as usize] += run;
        counts
    }

    fn counts(&self, half: u32) -> Counts {
        let mut counts = Counts::default();
        if self.channels < 2 {
            return counts;
        }
        for (at, pixel) in self.values.chunks_exact(self.channels.max(1)).enumerate() {
            let red = pixel[0].into();
            if let [.., alpha] = *pixel
                && [2, 4].contains(&self.channels)
            {
                counts.transparent += usize::from(red > half && alpha.into() <= self.range / 4);
            }
            if let [_, green, blue, ..] = *pixel
                && red <= half
            {
                let [green, blue]: [u32; 2] = [green.into(), blue.into()];
                // Channels that differ by less than a quarter of the range are a JPEG's noise on grey.
                if green.max(blue).saturating_sub(red) > self.range / 4 {
                    counts.hidden += 1;
                    counts.first.get_or_insert((at, [red, green, blue]));
                }
            }
        }
        counts
    }
}

/// Whether a photograph of `size`, `[height, width]`, fits a mask of another size once it is turned as viewers show it, and the mask isn't turned.
pub(crate) fn fits_upright([height, width]: [usize; 2], mask_size: [usize; 2], [turned, mask]: [Orientation; 2]) -> bool {
    swaps(turned) && mask == Orientation::NoTransforms && [width, height] == mask_size
}

/// Whether viewers turn a photograph otherwise than its mask of `height` x `width` pixels. Where the two would then differ in size, the
/// mask was drawn on the pixels as they are stored; where they differ as they are stored, the photograph is turned (`upright`).
pub(crate) fn orientation(
    photo: impl Display,
    [height, width]: [usize; 2],
    [turned, mask]: [Orientation; 2],
    upright: bool,
) -> Option<Doubt> {
    let exif = turned.to_exif();
    if upright {
        let words = format!("{photo} has EXIF orientation {exif}, and fits its mask only so: it is turned as viewers show it");
        return Some(Doubt { kind: Kind::Turned, words });
    }
    if turned == mask || (height != width && swaps(turned) != swaps(mask)) {
        return None;
    }
    let words = format!(
        "{photo} has EXIF orientation {exif}, and its mask {}: neither is applied. If the mask was drawn on the photograph as viewers show it, {TURN}",
        mask.to_exif(),
    );
    Some(Doubt { kind: Kind::Orientation, words })
}

/// The error of a photograph and a mask of `[height, width]` pixels each that differ in size.
pub(crate) fn sizes(
    [photo, mask]: [&dyn Display; 2],
    [size, other]: [[usize; 2]; 2],
    [turned, also]: [Orientation; 2],
) -> StageError {
    let ([height, width], [mask_height, mask_width]) = (size, other);
    let message =
        format!("image and mask differ in size: {photo} is {width} x {height}, {mask} is {mask_width} x {mask_height} pixels");
    if swaps(turned) != swaps(also) && [width, height] == other {
        let [turned, also] = [turned.to_exif(), also.to_exif()];
        return StageError::new(format!(
            "{message}. The image has EXIF orientation {turned}, the mask {also}, and neither is applied"
        ))
        .help(TURN);
    }
    StageError::new(message).help("export the mask at the image's size, or exclude this sample")
}

/// Whether an orientation swaps height and width.
fn swaps(orientation: Orientation) -> bool {
    orientation.to_exif() >= 5
}

const FLATTEN: &str = "save it without alpha (ImageMagick: convert FILE -background black -alpha remove FILE.png)";

const TURN: &str = "turn the files' pixels (ImageMagick: mogrify -auto-orient)";

const COLOURS: &str = "name them in `labels` of the decode stage, such as labels: {artery: [255, 0, 0], vein: [0, 0, 255]}, and set `other` for \
                       the rest; or save the mask with white vessels on black";

/// The first of some values.
fn listed(values: &[u32]) -> String {
    let mut words: Vec<String> = values.iter().take(6).map(u32::to_string).collect();
    if values.len() > 6 {
        words.push(format!("{} more", values.len() - 6));
    }
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
        None => String::new(),
    }
}
