//! The U-Net (Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015) with norms:
//! its size, its bounds, its blocks and its head.

use pipeline_contract::{Result, StageError};

use crate::layer::{Head, MaxPool, NormKind, TransposedConvolution};
use crate::network::{Builder, Heads, Network};

/// The size of a U-Net.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UNetConfig {
    /// Channels of the first level; each level below has twice as many. 1 to 512.
    pub base: usize,
    /// How many levels. 1 to 8.
    pub depth: usize,
    /// The norm after each 3x3 convolution.
    pub norm: NormKind,
}

impl UNetConfig {
    /// A configuration within the bounds.
    ///
    /// # Errors
    /// When base or depth is out of bounds, or the norm has another name.
    pub fn new(base: usize, depth: usize, norm: &str) -> Result<Self> {
        let norm = NormKind::named(norm).ok_or_else(|| {
            StageError::new(format!("there is no norm named {norm:?}")).help(format!("one of {}", NormKind::NAMES.join(", ")))
        })?;
        if !(1..=512).contains(&base) || !(1..=8).contains(&depth) {
            return Err(StageError::new(format!("a U-Net of base {base} and depth {depth} is out of bounds"))
                .help("base is 1 to 512, depth 1 to 8"));
        }
        // Group norm needs whole groups at every level: min(8, channels) divides base << k for all k when it does for base.
        if norm == NormKind::Group && (0..depth).any(|level| !(base << level).is_multiple_of((base << level).min(8))) {
            return Err(StageError::new(format!("group norm can't divide {base} << level channels into 8 groups"))
                .help("take a base of 1, 2, 4 or a multiple of 8"));
        }
        Ok(Self { base, depth, norm })
    }

    /// The network: `depth` levels of `base << level` channels. A level is twice (3x3 convolution, norm, ReLU); 2x2 max pooling
    /// down, 2x2 transposed convolution up, the skip before the upsampled map.
    pub fn network(self) -> Network {
        let Self { base, depth, norm } = self;
        let channels = |level: usize| base << level;
        let mut b = Builder::default();
        let level = |b: &mut Builder, name: &str, inputs: &[usize], from: usize, to: usize| {
            let half = b.conv_norm(name, 1, inputs, [from, to], norm);
            b.conv_norm(name, 2, &[half], [to, to], norm)
        };
        let mut skips = Vec::new();
        let mut x = Builder::IMAGES;
        for k in 0..depth {
            let name = format!("down.{k}");
            b.block(&name);
            if k > 0 {
                x = b.layer(MaxPool, &[x]);
            }
            x = level(&mut b, &name, &[x], if k == 0 { 3 } else { channels(k - 1) }, channels(k));
            skips.push(x);
        }
        // PyTorch lists all transposed convolutions before the levels that follow them.
        let rising = || (0..depth - 1).rev().enumerate();
        let ups: Vec<_> = rising()
            .map(|(at, k)| TransposedConvolution::new(&mut b.layout, &format!("up.{at}"), channels(k + 1), channels(k)))
            .collect();
        for ((at, k), up) in rising().zip(ups) {
            let name = format!("decode.{at}");
            b.block(&name);
            let raised = b.layer(up, &[x]);
            x = level(&mut b, &name, &[skips[k], raised], 2 * channels(k), channels(k));
        }
        b.block("head");
        let head = Head::new(&mut b.layout, "head", base, 1);
        let logits = b.layer(head, &[x]);
        let about = format!("U-Net of base {base}, depth {depth}, {} norm", norm.name());
        let metadata = [("base", base.to_string()), ("depth", depth.to_string()), ("norm", norm.name().into())];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).to_vec();
        b.finish(about, metadata, Heads::single(logits, 1), 1 << (depth - 1))
    }
}
