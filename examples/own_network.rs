//! A network of your own, in the program and in the YAML: planned, verified, checkpointed and trained like those that ship.
//!
//! ```text
//! cargo run --release --example own_network -- plan examples/own_network.yml
//! cargo run --release --example own_network -- verify examples/own_network.yml
//! cargo run --release --example own_network -- run examples/own_network.yml
//! ```
//! Without any pooling: residual blocks of dilated convolutions at full resolution, after Yu and Koltun, "Multi-Scale Context
//! Aggregation by Dilated Convolutions" (2016).

use std::process::ExitCode;

use pipeline::contract::{OptionSpec, OptionType, Result};
use pipeline_training::layer::{Activation, Convolution, Geometry, Head, Norm, NormKind, NormOptions, Sum};
use pipeline_training::network::{Builder, Heads, Network, NodeId};
use pipeline_training::networks::{NetworkKind, register};
use serde::Deserialize;

#[derive(Deserialize)]
struct Context {
    channels: usize,
    blocks: usize,
}

impl Context {
    fn network(&self) -> Network {
        let (mut b, own) = (Builder::default(), self.channels);
        b.block("stem");
        let mut x = b.conv_norm("stem", 1, &[Builder::IMAGES], [3, own], NormOptions::new(NormKind::Group));
        for index in 0..self.blocks {
            let name = format!("context.{index}");
            b.block(&name);
            let inner = dilated(&mut b, &format!("{name}.1"), x, own, Activation::Relu);
            let inner = dilated(&mut b, &format!("{name}.2"), inner, own, Activation::Identity);
            x = b.layer(Sum { activation: Activation::Relu }, &[inner, x]);
        }
        b.block("head");
        let head = Head::new(&mut b.layout, "head", own, 1);
        let logits = b.layer(head, &[x]);
        let about = format!("context network of {} blocks of {own} channels", self.blocks);
        b.finish(about, vec![("network".into(), "context".into())], Heads::single(logits, 1), 1)
    }
}

/// A 3x3 convolution of dilation 2, group norm, an activation.
fn dilated(b: &mut Builder, name: &str, input: NodeId, channels: usize, activation: Activation) -> NodeId {
    let layer = Convolution::of(&mut b.layout, &format!("{name}.conv"), [channels; 2], Geometry::THREE_DILATION_2);
    let norm = NormOptions::new(NormKind::Group);
    let norm = Norm::new(&mut b.layout, &format!("{name}.norm"), channels, norm, activation);
    let map = b.layer(layer, &[input]);
    b.norm(norm, &[map])
}

fn kind() -> NetworkKind {
    let integer = |max| OptionType::Integer { min: 1, max };
    let options = vec![
        OptionSpec::new("channels", integer(512), 16, "channels of every map, a multiple of 8"),
        OptionSpec::new("blocks", integer(32), 4, "residual blocks"),
    ];
    NetworkKind::new("context", "dilated residual blocks at full resolution", options, |options| -> Result<Network> {
        let context = Context::deserialize(options).map_err(|error| pipeline::contract::StageError::new(error.to_string()))?;
        NormOptions::new(NormKind::Group).divides(context.channels)?;
        Ok(context.network())
    })
}

fn main() -> ExitCode {
    match register(kind()) {
        Ok(()) => pipeline::cli::main(pipeline::builtin()),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
