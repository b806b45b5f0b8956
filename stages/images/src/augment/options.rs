//! The options of `augment`: their declarations, and what is wrong with them together.

use pipeline_contract::{Facts, Finding, OptionSpec, OptionType, Place, fact};
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::Value;

/// The options. An amount of 0, and a group that isn't given, is off.
#[derive(Debug, Clone, serde::Deserialize)]
pub(super) struct Options {
    pub flip: bool,
    pub rotate90: bool,
    pub rotate: f32,
    pub scale: f32,
    pub elastic: Option<Elastic>,
    pub brightness: f32,
    pub contrast: f32,
    pub gamma: f32,
    #[serde(default)]
    pub hue: f32,
    #[serde(default)]
    pub saturation: f32,
    #[serde(default)]
    pub falloff: f32,
    #[serde(default)]
    pub green: f32,
    pub clahe: Option<Clahe>,
    pub blur: Option<Blur>,
    #[serde(default)]
    pub noise: f32,
    pub jpeg: Option<Jpeg>,
    pub dropout: Option<Dropout>,
}

/// Random displacements of the pixels, smoothed.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
pub(super) struct Elastic {
    pub share: f32,
    pub alpha: Range,
    pub sigma: Range,
}

/// Histogram equalisation in tiles, with limited contrast.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
pub(super) struct Clahe {
    pub share: f32,
    pub clip_limit: f64,
    pub grid: usize,
}

/// A Gaussian blur.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
pub(super) struct Blur {
    pub share: f32,
    pub sigma: Range,
}

/// Compression as JPEG.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
pub(super) struct Jpeg {
    pub share: f32,
    pub quality: Range,
}

/// Squares of one grey value.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
pub(super) struct Dropout {
    pub share: f32,
    pub holes: Range,
    pub size: Range,
    pub fill: u8,
}

/// One number, or `[lowest, highest]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub low: f32,
    pub high: f32,
}

impl Range {
    /// The number at a share of the way from the lowest to the highest.
    pub fn at(self, share: f32) -> f32 {
        self.low + (self.high - self.low) * share
    }

    /// The whole number at a share in `[0, 1)` of the way, each as likely as any other.
    pub fn whole(self, share: f32) -> u32 {
        let (low, high) = (self.low as u32, self.high as u32);
        let steps = high.saturating_sub(low);
        low + (((steps + 1) as f32 * share) as u32).min(steps)
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let [low, high] = match Value::deserialize(from)? {
            Value::Number(one) => serde_json::from_value(Value::Number(one)).map(|one| [one; 2]),
            list => serde_json::from_value(list),
        }
        .map_err(D::Error::custom)?;
        Ok(Self { low, high })
    }
}

/// One value or a list of the lowest and the highest.
fn range(of: OptionType) -> OptionType {
    OptionType::AnyOf(vec![of.clone(), OptionType::List { of: Box::new(of), min: 2, max: 2 }])
}

/// The declarations, in the order in which the changes are made.
pub(super) fn specs() -> Vec<OptionSpec> {
    let number = |name, max, doc| OptionSpec::new(name, OptionType::Number { min: 0.0, max }, 0.0, doc);
    let amount = |name, max, doc| OptionSpec::optional(name, OptionType::Number { min: 0.0, max }, doc);
    let group = |name, share: f64, options: Vec<OptionSpec>, doc| {
        let share = OptionSpec::new("share", OptionType::share(), share, "share of the samples for which this is done");
        OptionSpec::optional(name, OptionType::Group(std::iter::once(share).chain(options).collect()), doc)
    };
    let numbers = |min, max| range(OptionType::Number { min, max });
    let integers = |min, max| range(OptionType::Integer { min, max });
    vec![
        OptionSpec::new("flip", OptionType::Bool, false, "left to right and top to bottom, each for half of the samples"),
        OptionSpec::new(
            "rotate90",
            OptionType::Bool,
            false,
            "a random quarter turn; a half turn for images that aren't square",
        ),
        number("rotate", 180.0, "rotates by up to this many degrees either way"),
        number("scale", 0.9, "zooms by up to this share: 0.1 is 0.9 to 1.1 times"),
        group(
            "elastic",
            1.0,
            vec![
                OptionSpec::required(
                    "alpha",
                    numbers(0.0, 100_000.0),
                    "what the smoothed noise is multiplied by, in pixels, or [lowest, highest]. A pixel moves by about 0.16 alpha / sigma in x \
                     and in y (standard deviation): 2.4 for alpha 300 and sigma 20",
                ),
                OptionSpec::required(
                    "sigma",
                    numbers(1.0, 500.0),
                    "standard deviation of the Gaussian that smooths the noise, in pixels, or [lowest, highest]",
                ),
            ],
            "elastic deformation of image and mask: noise from -1 to 1 for each pixel, smoothed and multiplied by alpha, moves the pixels (Simard \
             et al. 2003; alpha and sigma are those of albumentations and nnU-Net)",
        ),
        number("brightness", 1.0, "adds up to this, either way, to values from 0 to 1"),
        number("contrast", 1.0, "multiplies values by up to this more or less: 0.2 is 0.8 to 1.2 times"),
        number("gamma", 3.0, "raises values to a power of exp(-gamma) to exp(gamma)"),
        amount(
            "hue",
            0.5,
            "turns colours by up to this share of the colour circle either way; luminance stays (a rotation in YIQ, which differs a little from \
             one in HSV)",
        ),
        amount("saturation", 1.0, "multiplies the distance from grey by up to this more or less: 0.2 is 0.8 to 1.2 times"),
        amount(
            "falloff",
            1.0,
            "light that falls off evenly from one side to the other, in any direction: the dark side loses up to this share",
        ),
        amount("green", 1.0, "share of the samples whose green channel becomes all three; 1: of all"),
        group(
            "clahe",
            0.5,
            vec![
                OptionSpec::new(
                    "clip_limit",
                    OptionType::Number { min: 0.0, max: 1000.0 },
                    2.0,
                    "how many times the mean a histogram's bin may hold; 0: no limit",
                ),
                OptionSpec::new("grid", OptionType::Integer { min: 1, max: 256 }, 8, "tiles along each side"),
            ],
            "contrast-limited adaptive histogram equalisation of the luminance, as OpenCV's createCLAHE does it; colours stay",
        ),
        group(
            "blur",
            0.5,
            vec![OptionSpec::required(
                "sigma",
                numbers(0.0, 100.0),
                "the Gaussian's standard deviation in pixels, or [lowest, highest]",
            )],
            "Gaussian blur of the image",
        ),
        amount(
            "noise",
            1.0,
            "adds Gaussian noise to each value from 0 to 1; its standard deviation is between 0 and this, drawn for each sample",
        ),
        group(
            "jpeg",
            0.5,
            vec![OptionSpec::new(
                "quality",
                integers(1, 100),
                serde_json::json!([40, 95]),
                "the quality, from 1 to 100, or [lowest, highest]",
            )],
            "compresses the image as JPEG and decodes it again, with its artefacts",
        ),
        group(
            "dropout",
            0.5,
            vec![
                OptionSpec::required("size", integers(1, 1 << 15), "side of each square in pixels, or [smallest, largest]"),
                OptionSpec::new("holes", integers(1, 4096), 1, "number of squares, or [fewest, most]"),
                OptionSpec::new("fill", OptionType::Integer { min: 0, max: 255 }, 0, "grey value of the squares"),
            ],
            "covers random squares of the image (cutout, coarse dropout); the mask stays",
        ),
    ]
}

/// Whether something is done for some of the samples.
fn on<T>(group: Option<T>, share: impl Fn(T) -> f32) -> bool {
    group.is_some_and(|group| share(group) > 0.0)
}

impl Options {
    /// The first option by which pixels are moved, not only recoloured.
    pub fn moving(&self) -> Option<&'static str> {
        let moving = [
            ("flip", self.flip),
            ("rotate90", self.rotate90),
            ("rotate", self.rotate > 0.0),
            ("scale", self.scale > 0.0),
            ("elastic", on(self.elastic, |elastic| elastic.share)),
        ];
        moving.into_iter().find_map(|(option, moves)| moves.then_some(option))
    }

    /// Whether the same image becomes another one in another epoch. Not where what is on is done to all, by one amount.
    pub fn draws(&self) -> bool {
        let amounts = [self.brightness, self.contrast, self.gamma, self.hue, self.saturation, self.falloff, self.noise];
        let some = |share: f32| share > 0.0 && share < 1.0;
        let varies = |share: f32, range: Range| share > 0.0 && (share < 1.0 || range.low < range.high);
        self.moving().is_some()
            || amounts.iter().any(|&amount| amount > 0.0)
            || some(self.green)
            || self.clahe.is_some_and(|clahe| some(clahe.share))
            || self.blur.is_some_and(|blur| varies(blur.share, blur.sigma))
            || self.jpeg.is_some_and(|jpeg| varies(jpeg.share, jpeg.quality))
            || on(self.dropout, |dropout| dropout.share)
    }

    fn changes_nothing(&self) -> bool {
        let amounts =
            [self.brightness, self.contrast, self.gamma, self.hue, self.saturation, self.falloff, self.green, self.noise];
        let groups = [
            on(self.clahe, |clahe| clahe.share),
            on(self.blur, |blur| blur.share),
            on(self.jpeg, |jpeg| jpeg.share),
            on(self.dropout, |dropout| dropout.share),
        ];
        self.moving().is_none() && amounts.iter().all(|&amount| amount == 0.0) && !groups.contains(&true)
    }

    /// What is wrong with the options, and with the options for images of which this is known.
    pub fn findings(&self, facts: &Facts) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.changes_nothing() {
            let names: Vec<&str> = specs().iter().map(|spec| spec.name).collect();
            findings.push(
                Finding::warning(Place::Stage, "every augmentation is off: this stage changes nothing")
                    .help(format!("set some of {}", names.join(", "))),
            );
        }
        if facts.get(fact::EVALUATED).is_some() && self.moving().is_none() && self.draws() {
            findings.push(
                Finding::warning(Place::Stage, "what is measured is changed at random here: figures are of changed images")
                    .help(
                        "leave it out where images are measured; `green: 1` and `clahe: {share: 1}` prepare all of them alike",
                    ),
            );
        }
        for (option, range) in self.ranges() {
            if range.low > range.high {
                let message = format!("`{option}` goes from {} to {}: the lowest comes first", range.low, range.high);
                findings.push(
                    Finding::error(Place::Option(option.into()), message)
                        .help(format!("write [{}, {}]", range.high, range.low)),
                );
            }
        }
        for (option, amount) in [("hue", self.hue), ("saturation", self.saturation)] {
            if amount > 0.0 && self.green == 1.0 {
                let message = format!("`{option}` does nothing where all samples are made grey by `green`");
                findings.push(Finding::warning(Place::Option(option.into()), message).help("leave out one of the two"));
            }
        }
        let side = |name| facts.integer(name).map(|side| side as f32);
        if let (Some(dropout), Some(height), Some(width)) = (self.dropout, side(fact::HEIGHT), side(fact::WIDTH))
            && dropout.size.low >= height.max(width)
        {
            let message = format!("a square of {} covers the whole image of {height} x {width}", dropout.size.low);
            findings.push(Finding::warning(Place::Option("dropout.size".into()), message).help("make the squares smaller"));
        }
        findings
    }

    fn ranges(&self) -> impl Iterator<Item = (&'static str, Range)> {
        let ranges = [
            ("elastic.alpha", self.elastic.map(|elastic| elastic.alpha)),
            ("elastic.sigma", self.elastic.map(|elastic| elastic.sigma)),
            ("blur.sigma", self.blur.map(|blur| blur.sigma)),
            ("jpeg.quality", self.jpeg.map(|jpeg| jpeg.quality)),
            ("dropout.holes", self.dropout.map(|dropout| dropout.holes)),
            ("dropout.size", self.dropout.map(|dropout| dropout.size)),
        ];
        ranges.into_iter().filter_map(|(option, range)| Some((option, range?)))
    }
}
