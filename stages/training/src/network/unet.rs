//! The U-Net of `unet.py` (Ronneberger et al., 2015, with norms): its blocks and its head, and which images fit it.
//! The passes over them are `blocks`'.

use pipeline_contract::{Result, StageError};

use super::block::{Block, Prelude, Source};
use super::{Blocks, Convolution, Head, Layout, Norm, NormKind, UNetConfig, Upsample};

/// A U-Net with 3 channels in and 1 out: which layers there are, in order. The tensors are in a [`State`](super::State).
#[derive(Debug, Clone)]
pub struct UNet {
    config: UNetConfig,
    blocks: Blocks,
}

impl UNet {
    /// The layers of a U-Net. Allocates no tensors.
    pub fn new(config: UNetConfig) -> Self {
        let UNetConfig { base, depth, norm } = config;
        let channels = |level: usize| base << level;
        let mut layout = Layout::default();
        let level = |layout: &mut Layout, name: &str, inputs: usize, outputs: usize| {
            let mut half = |index: usize, inputs: usize| {
                let convolution = Convolution::new(layout, &format!("{name}.conv{index}"), inputs, outputs);
                (convolution, Norm::new(layout, &format!("{name}.norm{index}"), outputs, norm))
            };
            vec![half(1, inputs), half(2, outputs)]
        };
        let mut blocks = Vec::new();
        for k in 0..depth {
            let (name, inputs) = (format!("down.{k}"), if k == 0 { 3 } else { channels(k - 1) });
            blocks.push(Block {
                layers: level(&mut layout, &name, inputs, channels(k)),
                name: name.into(),
                inputs: vec![if k == 0 { Source::Images } else { Source::Block(k - 1) }],
                prelude: if k == 0 { Prelude::Plain } else { Prelude::Pool },
            });
        }
        // PyTorch lists all transposed convolutions before the levels that follow them.
        let rising = || (0..depth - 1).rev().enumerate();
        let ups: Vec<_> =
            rising().map(|(at, k)| Upsample::new(&mut layout, &format!("up.{at}"), channels(k + 1), channels(k))).collect();
        for ((at, k), up) in rising().zip(ups) {
            let name = format!("decode.{at}");
            blocks.push(Block {
                layers: level(&mut layout, &name, 2 * channels(k), channels(k)),
                name: name.into(),
                // The skip first, then what comes from below.
                inputs: vec![Source::Block(k), Source::Block(depth - 1 + at)],
                prelude: Prelude::Upsample(up),
            });
        }
        let head = Head::new(&mut layout, "head", base, 1);
        Self { config, blocks: Blocks { layout, blocks, head } }
    }

    /// The network's size.
    pub fn config(&self) -> UNetConfig {
        self.config
    }

    /// The network's tensors.
    pub fn layout(&self) -> &Layout {
        &self.blocks.layout
    }

    /// Its blocks and its head.
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// Whether images of a size fit: height and width multiples of the stride, and more than one pixel per statistic.
    ///
    /// # Errors
    /// What doesn't fit, and the nearest sizes that do.
    pub fn accepts(&self, batch: usize, height: usize, width: usize) -> Result<()> {
        let (stride, depth) = (self.config.stride(), self.config.depth);
        for (name, size) in [("height", height), ("width", width)] {
            if size == 0 || !size.is_multiple_of(stride) {
                let message =
                    format!("image {name} {size} is not divisible by {stride}, the stride of a U-Net of depth {depth}");
                let (below, above) = (size / stride * stride, size.div_ceil(stride).max(1).saturating_mul(stride));
                let nearest = if below == 0 { format!("{above}") } else { format!("{below} or {above}") };
                return Err(StageError::new(message).help(format!("resize to {nearest}")));
            }
        }
        // Sizes from a file may be any number.
        let pixels = height.saturating_mul(width);
        let shared = match self.config.norm {
            NormKind::Group => self.config.base << (depth - 1) >= 16 || pixels > stride * stride,
            NormKind::Batch => pixels.saturating_mul(batch) > stride * stride,
            NormKind::Instance => pixels > stride * stride,
        };
        if !shared {
            let norm = self.config.norm.name();
            return Err(StageError::new(format!(
                "{norm} norm sees a single value: images of {height} x {width} are 1 x 1 at the deepest level"
            ))
            .help("take larger images or a smaller depth"));
        }
        Ok(())
    }
}
