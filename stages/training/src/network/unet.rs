//! The U-Net of `unet.py` (Ronneberger et al., 2015, with norms): its blocks in order, forward and backward.
//! It holds no tensors (those are in `State`) and knows no loss.

use burn::tensor::{Int, Tensor};
use pipeline_contract::{Result, StageError};

use super::head::Head;
use super::level::{Kept, Level};
use super::norm::NormKind;
use super::upsample::Upsample;
use super::{Gradients, Layout, Pass, State, UNetConfig, pool};

/// A U-Net with 3 channels in and 1 out: which layers there are, in order. The tensors are in a [`State`].
#[derive(Debug, Clone)]
pub struct UNet {
    config: UNetConfig,
    layout: Layout,
    down: Vec<Level>,
    up: Vec<Upsample>,
    decode: Vec<Level>,
    head: Head,
}

/// A level's output, and where its pooling found the maxima.
type Pooled = (Tensor<4>, Tensor<4, Int>);

/// What a forward pass keeps for the backward pass.
#[derive(Debug)]
pub struct Tape {
    down: Vec<(Kept, Option<Pooled>)>,
    decode: Vec<(Tensor<4>, Kept)>,
    head: Tensor<4>,
}

impl UNet {
    /// The layers of a U-Net. Allocates no tensors.
    pub fn new(config: UNetConfig) -> Self {
        let UNetConfig { base, depth, norm } = config;
        let channels = |level: usize| base << level;
        let mut layout = Layout::default();
        let inputs = |level: usize| if level == 0 { 3 } else { channels(level - 1) };
        let down = (0..depth).map(|k| Level::new(&mut layout, format!("down.{k}"), inputs(k), channels(k), norm)).collect();
        let rising = || (0..depth - 1).rev().enumerate();
        let up =
            rising().map(|(at, k)| Upsample::new(&mut layout, &format!("up.{at}"), channels(k + 1), channels(k))).collect();
        let decode = rising()
            .map(|(at, k)| Level::new(&mut layout, format!("decode.{at}"), 2 * channels(k), channels(k), norm))
            .collect();
        let head = Head::new(&mut layout, "head", base, 1);
        Self { config, layout, down, up, decode, head }
    }

    /// The network's size.
    pub fn config(&self) -> UNetConfig {
        self.config
    }

    /// The network's tensors.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The names of its blocks, in the order of the forward pass.
    pub fn blocks(&self) -> Vec<&str> {
        self.down.iter().chain(&self.decode).map(Level::name).chain(["head"]).collect()
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
                let (below, above) = (size / stride * stride, size.div_ceil(stride).max(1) * stride);
                let nearest = if below == 0 { format!("{above}") } else { format!("{below} or {above}") };
                return Err(StageError::new(message).help(format!("resize to {nearest}")));
            }
        }
        let shared = match self.config.norm {
            NormKind::Group => self.config.base << (depth - 1) >= 16 || height * width > stride * stride,
            NormKind::Batch => batch * height * width > stride * stride,
            NormKind::Instance => height * width > stride * stride,
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

    /// Logits `[batch, 1, height, width]` of images `[batch, 3, height, width]`, and the tape for [`UNet::backward`].
    pub fn forward(&self, state: &mut State, images: Tensor<4>) -> (Tensor<4>, Tape) {
        let (mut x, mut skips) = (images, Vec::new());
        let (mut down, mut decode) = (Vec::new(), Vec::new());
        for (k, level) in self.down.iter().enumerate() {
            let (y, kept) = level.forward_kept(state, x);
            if k + 1 < self.down.len() {
                let (pooled, indices) = pool::forward_indexed(y.clone());
                down.push((kept, Some((y.clone(), indices))));
                skips.push(y);
                x = pooled;
            } else {
                down.push((kept, None));
                x = y;
            }
        }
        for (up, level) in self.up.iter().zip(&self.decode) {
            let risen = up.forward(state, x.clone());
            let joined = Tensor::cat(skips.pop().into_iter().chain([risen]).collect(), 1);
            let (y, kept) = level.forward_kept(state, joined);
            decode.push((x, kept));
            x = y;
        }
        (self.head.forward(state, x.clone()), Tape { down, decode, head: x })
    }

    /// Logits alone, in evaluation: batch norm uses its running statistics, nothing is kept.
    pub fn predict(&self, state: &State, images: Tensor<4>) -> Tensor<4> {
        let state = &mut state.clone();
        let (mut x, mut skips) = (images, Vec::new());
        for (k, level) in self.down.iter().enumerate() {
            x = level.forward(state, x, Pass::Evaluate);
            if k + 1 < self.down.len() {
                skips.push(x.clone());
                x = pool::forward(x);
            }
        }
        for (up, level) in self.up.iter().zip(&self.decode) {
            let risen = up.forward(state, x);
            let joined = Tensor::cat(skips.pop().into_iter().chain([risen]).collect(), 1);
            x = level.forward(state, joined, Pass::Evaluate);
        }
        self.head.forward(state, x)
    }

    /// The gradients of the trained tensors, in the order of their slots, given the gradient of the logits.
    ///
    /// # Errors
    /// When a gradient is missing: a bug.
    pub fn backward(&self, state: &State, tape: Tape, upstream: Tensor<4>) -> Result<Vec<Tensor<1>>> {
        let mut all = Gradients::none(&self.layout);
        let gradients = &mut all;
        let Tape { mut down, decode, head } = tape;
        let missing = || StageError::new("the tape does not fit the network");
        let mut upstream = self.head.backward(state, head, upstream, gradients);
        let mut skips = Vec::new();
        for ((up, level), (input, kept)) in self.up.iter().zip(&self.decode).zip(decode).rev() {
            let joined = level.backward(state, kept, upstream, gradients, true).ok_or_else(missing)?;
            let [batch, channels, height, width] = joined.dims();
            skips.push(joined.clone().slice([0..batch, 0..channels / 2, 0..height, 0..width]));
            let risen = joined.slice([0..batch, channels / 2..channels, 0..height, 0..width]);
            upstream = up.backward(state, input, risen, gradients);
        }
        for (k, level) in self.down.iter().enumerate().rev() {
            let (kept, pooled) = down.pop().ok_or_else(missing)?;
            if let Some((y, indices)) = pooled {
                upstream = pool::backward(y, indices, upstream) + skips.pop().ok_or_else(missing)?;
            }
            match level.backward(state, kept, upstream, gradients, k > 0) {
                Some(input) => upstream = input,
                None => break,
            }
        }
        all.complete()
    }
}
