//! W-Net (Galdran et al., "State-of-the-art retinal vessel segmentation with minimalistic models", Scientific Reports 12, 6174,
//! 2022): a minimal U-Net, then a second one on the image concatenated with the first one's output. The loss is the sum of both
//! losses.

use pipeline_contract::{OptionSpec, OptionType};
use pipeline_kernels::{Activation, Geometry};
use serde::Deserialize;
use serde_json::Value;

use super::kind::NetworkKind;
use super::options::read;
use super::size::{Size, SizeOptions};
use crate::layer::{Convolution, Head, Layer, MaxPool, Norm, Probabilities, StoredLogits, Sum, TransposedConvolution};
use crate::network::{Builder, Heads, Network, NodeId, Supervised};

pub(super) fn kind() -> NetworkKind {
    let doc = "W-Net (Galdran 2022): two minimal U-Nets, the second on the image and the first's output; 3 channels in";
    let mut options = Size::options(8, 3, "batch");
    let feed = OptionType::Choice(&["probabilities", "logits"]);
    let help = "what the second U-Net sees of the first's output; the authors' code gives it the logits";
    options.push(OptionSpec::new("feed", feed, "probabilities", help));
    NetworkKind::new("wnet", doc, options, |options: &Value| {
        let Own { feed } = read(options)?;
        Ok(network(read::<SizeOptions>(options)?.try_into()?, feed))
    })
}

/// The option in addition to those of the size.
#[derive(Deserialize)]
struct Own {
    feed: Feed,
}

/// What the second U-Net sees of the first one's output.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Feed {
    Probabilities,
    Logits,
}

/// One of the two U-Nets under construction.
struct Little<'a> {
    b: &'a mut Builder,
    name: &'static str,
    size: Size,
}

impl Little<'_> {
    /// 3x3 convolution with bias, ReLU, norm, in this order.
    fn conv(&mut self, name: &str, index: &str, inputs: &[NodeId], channels: [usize; 2]) -> NodeId {
        let layout = &mut self.b.layout;
        let (conv, norm) = (format!("{name}.conv{index}"), format!("{name}.norm{index}"));
        let layer = Convolution::of(layout, &conv, channels, Geometry::THREE).with_bias(layout, &conv, Activation::Relu);
        let norm = Norm::new(layout, &norm, channels[1], self.size.norm, Activation::Identity);
        let map = self.b.layer(layer, inputs);
        self.b.norm(norm, &[map])
    }

    /// Two such convolutions, plus a shortcut of (1x1 convolution, norm).
    fn block(&mut self, name: &str, inputs: &[NodeId], [from, to]: [usize; 2]) -> NodeId {
        let half = self.conv(name, "1", inputs, [from, to]);
        let whole = self.conv(name, "2", &[half], [to, to]);
        let layout = &mut self.b.layout;
        let shortcut = Convolution::of(layout, &format!("{name}.shortcut"), [from, to], Geometry::ONE);
        let norm = Norm::new(layout, &format!("{name}.shortcut_norm"), to, self.size.norm, Activation::Identity);
        let map = self.b.layer(shortcut, inputs);
        let shortcut = self.b.norm(norm, &[map]);
        self.b.layer(Sum { activation: Activation::Identity }, &[whole, shortcut])
    }

    /// The whole U-Net, for inputs with this many channels in total.
    fn network(&mut self, inputs: &[NodeId], channels: usize) -> NodeId {
        let (name, size) = (self.name, self.size);
        let (mut x, mut skips) = (inputs.to_vec(), Vec::new());
        for k in 0..size.depth {
            let block = format!("{name}.down.{k}");
            self.b.block(&block);
            if k > 0 {
                x = vec![self.b.layer(MaxPool, &x)];
            }
            let from = if k == 0 { channels } else { size.channels(k - 1) };
            x = vec![self.block(&block, &x, [from, size.channels(k)])];
            skips.push(x[0]);
        }
        for (at, k) in (0..size.depth - 1).rev().enumerate() {
            let (block, own) = (format!("{name}.decode.{at}"), size.channels(k));
            self.b.block(&block);
            let up = TransposedConvolution::new(&mut self.b.layout, &format!("{name}.up.{at}"), size.channels(k + 1), own);
            let raised = self.b.layer(up, &x);
            let bridge = self.conv(&format!("{name}.bridge.{at}"), "", &[skips[k]], [own, own]);
            x = vec![self.block(&block, &[raised, bridge], [2 * own, own])];
        }
        let block = format!("{name}.head");
        self.b.block(&block);
        let head = Head::new(&mut self.b.layout, &block, size.base, size.classes);
        self.b.layer(head, &x)
    }
}

fn network(size: Size, feed: Feed) -> Network {
    let mut b = Builder::default();
    let first = Little { b: &mut b, name: "first", size }.network(&[Builder::IMAGES], 3);
    let (layer, fed): (Layer, _) = match feed {
        Feed::Probabilities => (Probabilities.into(), "probabilities"),
        Feed::Logits => (StoredLogits.into(), "logits"),
    };
    let shown = b.layer(layer, &[first]);
    let logits = Little { b: &mut b, name: "second", size }.network(&[Builder::IMAGES, shown], 3 + size.classes);
    let supervised = [logits, first].map(|node| Supervised { node, weight: 1.0 }).to_vec();
    let heads = Heads { logits, supervised, classes: size.classes };
    let mut metadata = size.metadata("wnet");
    if fed != "probabilities" {
        metadata.push(("feed".to_owned(), fed.to_owned()));
    }
    b.finish(format!("W-Net of {}, feed {fed}", size.about()), metadata, heads, size.stride())
}
