//! Options that all networks of this program share: channels, levels, norm and classes, with their bounds.

use pipeline_contract::{OptionSpec, OptionType, Result, StageError};
use serde::Deserialize;

use crate::layer::{NormKind, NormOptions};

/// The size of a network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    /// Channels of the first level; each level below has twice as many. 1 to 512.
    pub base: usize,
    /// Number of levels. 1 to 8.
    pub depth: usize,
    /// The norm after each convolution.
    pub norm: NormOptions,
    /// Classes: 1 for a sigmoid, 2 to 255 for a softmax.
    pub classes: usize,
}

/// The options of a size, already checked by the file's reader.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct SizeOptions {
    base: usize,
    depth: usize,
    norm: String,
    groups: usize,
    eps: f64,
    momentum: f64,
    classes: usize,
}

impl Size {
    /// A size within the bounds, whose norm has PyTorch's defaults.
    ///
    /// # Errors
    /// When base or depth is out of bounds, or the name of the norm is unknown.
    pub fn new(base: usize, depth: usize, norm: &str) -> Result<Self> {
        Self { base, depth, norm: NormOptions::new(kind(norm)?), classes: 1 }.checked()
    }

    /// The options for a size in files, with a network's defaults.
    pub fn options(base: usize, depth: usize, norm: &'static str) -> Vec<OptionSpec> {
        let integer = |min, max| OptionType::Integer { min, max };
        let positive = |max| OptionType::Number { min: 0.0, max };
        vec![
            OptionSpec::new("base", integer(1, 512), base, "channels of the first level; each level below has twice as many"),
            OptionSpec::new("depth", integer(1, 8), depth, "levels; images are halved depth - 1 times"),
            OptionSpec::new(
                "norm",
                OptionType::Choice(NormKind::NAMES),
                norm,
                "norm after each convolution; batch sees one micro-batch at a time, whatever is accumulated",
            ),
            OptionSpec::new(
                "groups",
                integer(1, 512),
                8,
                "group norm: groups of channels, at most as many as a layer has channels",
            ),
            OptionSpec::new("eps", positive(1.0), 1e-5, "added to the variance"),
            OptionSpec::new("momentum", positive(1.0), 0.1, "batch norm: weight of a batch's statistics in the running ones"),
            OptionSpec::new(
                "classes",
                integer(1, 255),
                1,
                "1: vessel or not (sigmoid); more: a class for each label (softmax)",
            ),
        ]
    }

    fn checked(self) -> Result<Self> {
        let Self { base, depth, classes, .. } = self;
        if !(1..=512).contains(&base) || !(1..=8).contains(&depth) {
            return Err(StageError::new(format!("a network of base {base} and depth {depth} is out of bounds"))
                .help("base is 1 to 512, depth 1 to 8"));
        }
        if !(1..=255).contains(&classes) {
            return Err(StageError::new(format!("{classes} classes are out of bounds")).help("classes is 1 to 255"));
        }
        (0..depth).try_for_each(|level| self.norm.divides(base << level))?;
        Ok(self)
    }

    /// The number of channels of a level.
    pub fn channels(&self, level: usize) -> usize {
        self.base << level
    }

    /// Image height and width must be multiples of this.
    pub fn stride(&self) -> usize {
        1 << (self.depth - 1)
    }

    /// The size as text: `base 32, depth 5, group norm`.
    pub fn about(&self) -> String {
        let classes = if self.classes > 1 { format!(", {} classes", self.classes) } else { String::new() };
        format!("base {}, depth {}, {} norm{classes}", self.base, self.depth, self.norm.kind.name())
    }

    /// What a weights file says about the size. Files of a plain U-Net have always had the first three entries; the others are
    /// written only if they differ from the default.
    pub fn metadata(&self, network: &str) -> Vec<(String, String)> {
        let Self { base, depth, norm, classes } = self;
        let plain = NormOptions::new(norm.kind);
        let mut all = vec![("base", base.to_string()), ("depth", depth.to_string()), ("norm", norm.kind.name().to_owned())];
        let others = [
            ("network", network != "unet", network.to_owned()),
            ("classes", *classes != 1, classes.to_string()),
            ("groups", norm.groups != plain.groups, norm.groups.to_string()),
            ("eps", norm.eps != plain.eps, norm.eps.to_string()),
            ("momentum", norm.momentum != plain.momentum, norm.momentum.to_string()),
        ];
        all.extend(others.into_iter().filter(|(_, said, _)| *said).map(|(key, _, value)| (key, value)));
        all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

impl TryFrom<SizeOptions> for Size {
    type Error = StageError;

    fn try_from(options: SizeOptions) -> Result<Self> {
        let SizeOptions { base, depth, norm, groups, eps, momentum, classes } = options;
        Self { base, depth, norm: NormOptions { kind: kind(&norm)?, groups, eps, momentum }, classes }.checked()
    }
}

fn kind(name: &str) -> Result<NormKind> {
    NormKind::named(name).ok_or_else(|| {
        StageError::new(format!("there is no norm named {name:?}")).help(format!("one of {}", NormKind::NAMES.join(", ")))
    })
}
