//! The deep residual U-Net (Zhang, Liu and Wang, "Road Extraction by Deep Residual U-Net", IEEE GRSL 15(5), 2018; arXiv
//! 1711.10684), with pre-activation units (He et al., "Identity Mappings in Deep Residual Networks", 2016).

use pipeline_kernels::{Activation, Geometry};
use serde_json::Value;

use super::kind::NetworkKind;
use super::options::read;
use super::size::{Size, SizeOptions};
use crate::layer::{Convolution, Head, Norm, Sum, UpsampleNearest};
use crate::network::{Builder, Heads, Network, NodeId};

pub(super) fn kind() -> NetworkKind {
    let doc = "residual U-Net (Zhang 2018): pre-activation units, strides down, nearest neighbour up; 3 channels in";
    NetworkKind::new("resunet", doc, Size::options(64, 4, "group"), |options: &Value| {
        Ok(network(read::<SizeOptions>(options)?.try_into()?))
    })
}

/// One unit: (norm, ReLU,) 3x3 convolution with the unit's stride, norm, ReLU, 3x3 convolution; plus the shortcut, which is a 1x1
/// convolution on the raw input if channels or stride change. `inputs` are maps with their channels; the network's first unit
/// omits the norm and ReLU of its input.
struct Unit<'a> {
    name: String,
    inputs: &'a [(NodeId, usize)],
    outputs: usize,
    stride: usize,
    is_first: bool,
}

impl Unit<'_> {
    fn add(&self, b: &mut Builder, size: &Size) -> NodeId {
        let Self { name, outputs, stride, .. } = self;
        let maps: Vec<NodeId> = self.inputs.iter().map(|(map, _)| *map).collect();
        let channels = self.inputs.iter().map(|(_, channels)| channels).sum();
        let (strided, point) = match stride {
            1 => (Geometry::THREE, Geometry::ONE),
            _ => (Geometry::THREE_STRIDE_2, Geometry::ONE_STRIDE_2),
        };
        let norm = |b: &mut Builder, which: usize, channels: usize, maps: &[NodeId]| {
            let layer = Norm::new(&mut b.layout, &format!("{name}.norm{which}"), channels, size.norm, Activation::Relu);
            b.norm(layer, maps)
        };
        let read = if self.is_first { maps.clone() } else { vec![norm(b, 1, channels, &maps)] };
        let first = Convolution::of(&mut b.layout, &format!("{name}.conv1"), [channels, *outputs], strided);
        let first = b.layer(first, &read);
        let normed = norm(b, 2, *outputs, &[first]);
        let second = Convolution::new(&mut b.layout, &format!("{name}.conv2"), *outputs, *outputs);
        let second = b.layer(second, &[normed]);
        let sum = Sum { activation: Activation::Identity };
        if (channels, *stride) == (*outputs, 1) && maps.len() == 1 {
            return b.layer(sum, &[second, maps[0]]);
        }
        let shortcut = Convolution::of(&mut b.layout, &format!("{name}.shortcut"), [channels, *outputs], point);
        let shortcut = b.layer(shortcut, &maps);
        b.layer(sum, &[second, shortcut])
    }
}

fn network(size: Size) -> Network {
    let Size { base, depth, classes, .. } = size;
    let mut b = Builder::default();
    let (mut x, mut skips) = ((Builder::IMAGES, 3), Vec::new());
    for k in 0..depth {
        let name = format!("encode.{k}");
        b.block(&name);
        let (outputs, stride) = (size.channels(k), if k == 0 { 1 } else { 2 });
        x = (Unit { name, inputs: &[x], outputs, stride, is_first: k == 0 }.add(&mut b, &size), outputs);
        skips.push(x);
    }
    for (at, k) in (0..depth - 1).rev().enumerate() {
        let name = format!("decode.{at}");
        b.block(&name);
        let raised = (b.layer(UpsampleNearest, &[x.0]), x.1);
        let outputs = size.channels(k);
        let inputs = [skips[k], raised];
        x = (Unit { name, inputs: &inputs, outputs, stride: 1, is_first: false }.add(&mut b, &size), outputs);
    }
    b.block("head");
    let head = Head::new(&mut b.layout, "head", base, classes);
    let logits = b.layer(head, &[x.0]);
    let about = format!("residual U-Net of {}", size.about());
    b.finish(about, size.metadata("resunet"), Heads::single(logits, classes), size.stride())
}
