//! The U-Net (Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015) with norms
//! and optional deep supervision (as in nnU-Net: Isensee et al., Nature Methods 18, 2021).

use pipeline_contract::{OptionSpec, OptionType, Result};
use serde::Deserialize;

use super::kind::NetworkKind;
use super::options::read;
use super::size::{Size, SizeOptions};
use crate::layer::{Head, MaxPool, TransposedConvolution};
use crate::network::{Builder, Heads, Network, NodeId, Supervised};

/// A U-Net: `depth` levels with `base << level` channels. Each level applies (3x3 convolution, norm, ReLU) twice; 2x2 max pooling
/// on the way down, 2x2 transposed convolution on the way up, with the skip's channels before the upsampled map's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UNetConfig {
    /// Channels, levels, norm, classes.
    pub size: Size,
    /// True to put a head on every decoder level but the deepest, each with its share of the loss.
    pub deep_supervision: bool,
}

/// The option in addition to those of the size.
#[derive(Deserialize)]
struct Own {
    deep_supervision: bool,
}

pub(super) fn kind() -> NetworkKind {
    let doc = "U-Net: per level two 3x3 convolutions with norm and ReLU; 3 channels in";
    let mut options = Size::options(32, 5, "group");
    options.push(OptionSpec::new(
        "deep_supervision",
        OptionType::Bool,
        false,
        "also takes the loss of coarser decoder levels, each with half the weight of the one above",
    ));
    NetworkKind::new("unet", doc, options, |options| {
        let (size, Own { deep_supervision }) = (read::<SizeOptions>(options)?, read(options)?);
        Ok(UNetConfig { size: size.try_into()?, deep_supervision }.network())
    })
}

impl UNetConfig {
    /// A plain U-Net within the bounds.
    ///
    /// # Errors
    /// When base or depth is out of bounds, or the name of the norm is unknown.
    pub fn new(base: usize, depth: usize, norm: &str) -> Result<Self> {
        Ok(Self { size: Size::new(base, depth, norm)?, deep_supervision: false })
    }

    /// Builds the network.
    pub fn network(self) -> Network {
        let Self { size, deep_supervision } = self;
        let Size { base, depth, norm, classes } = size;
        let mut b = Builder::default();
        let level = |b: &mut Builder, name: &str, inputs: &[NodeId], from: usize, to: usize| {
            let half = b.conv_norm(name, 1, inputs, [from, to], norm);
            b.conv_norm(name, 2, &[half], [to, to], norm)
        };
        let (mut skips, mut x) = (Vec::new(), Builder::IMAGES);
        for k in 0..depth {
            let name = format!("down.{k}");
            b.block(&name);
            if k > 0 {
                x = b.layer(MaxPool, &[x]);
            }
            x = level(&mut b, &name, &[x], if k == 0 { 3 } else { size.channels(k - 1) }, size.channels(k));
            skips.push(x);
        }
        // PyTorch lists all transposed convolutions before the levels that follow them.
        let rising = || (0..depth - 1).rev().enumerate();
        let up = |b: &mut Builder, at: usize, k: usize| {
            TransposedConvolution::new(&mut b.layout, &format!("up.{at}"), size.channels(k + 1), size.channels(k))
        };
        let ups: Vec<_> = rising().map(|(at, k)| up(&mut b, at, k)).collect();
        let mut levels = Vec::new();
        for ((at, k), up) in rising().zip(ups) {
            let name = format!("decode.{at}");
            b.block(&name);
            let raised = b.layer(up, &[x]);
            x = level(&mut b, &name, &[skips[k], raised], 2 * size.channels(k), size.channels(k));
            levels.push((k, x));
        }
        b.block("head");
        let head = Head::new(&mut b.layout, "head", base, classes);
        let logits = b.layer(head, &[x]);
        let mut heads = vec![logits];
        if deep_supervision {
            for (k, map) in levels.into_iter().rev().filter(|(k, _)| *k > 0) {
                let name = format!("deep_heads.{}", k - 1);
                b.block(&name);
                let head = Head::new(&mut b.layout, &name, size.channels(k), classes);
                heads.push(b.layer(head, &[map]));
            }
        }
        let supervised = weights(&heads);
        let deep = if deep_supervision { ", deep supervision" } else { "" };
        let mut metadata = size.metadata("unet");
        metadata.extend(deep_supervision.then(|| ("deep_supervision".to_owned(), "true".to_owned())));
        let about = format!("U-Net of {}{deep}", size.about());
        b.finish(about, metadata, Heads { logits, supervised, classes }, size.stride())
    }
}

/// 1, 1/2, 1/4, ... from the finest head down; with several heads the coarsest gets 0. Divided by their sum (nnU-Net).
fn weights(heads: &[NodeId]) -> Vec<Supervised> {
    let counted = if heads.len() > 1 { &heads[..heads.len() - 1] } else { heads };
    let halves: Vec<f32> = (0..counted.len()).map(|at| 0.5f32.powi(at as i32)).collect();
    let sum: f32 = halves.iter().sum();
    counted.iter().zip(halves).map(|(&node, half)| Supervised { node, weight: half / sum }).collect()
}
