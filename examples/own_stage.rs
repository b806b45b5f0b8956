//! A stage of your own, in the program and in the YAML. This program has all the commands of `pipeline`, and one kind more:
//!
//! ```text
//! cargo run --release --example own_stage -- run examples/own_stage.yml
//! cargo run --release --example own_stage -- stages green_channel
//! ```
//! Vessels stand out most in the green channel of a fundus photograph, so this stage copies it into all three.

use std::process::ExitCode;

use pipeline::contract::{ItemContext, Map, OptionSpec, OptionType, Result, StageKind};
use pipeline_images::ImagePair;
use serde::Deserialize;

#[derive(Deserialize)]
struct GreenChannel {
    strength: f32,
}

impl Map for GreenChannel {
    type In = ImagePair;
    type Out = ImagePair;

    fn map(&self, mut pair: ImagePair, _: &ItemContext<'_>) -> Result<ImagePair> {
        for pixel in pair.image.chunks_exact_mut(3) {
            let green = f32::from(pixel[1]);
            for value in pixel {
                *value = (f32::from(*value) * (1.0 - self.strength) + green * self.strength).round() as u8;
            }
        }
        Ok(pair)
    }
}

fn kind() -> StageKind {
    StageKind::map("green_channel", "fades the photograph towards its green channel", |options: GreenChannel, _| Ok(options))
        .option(OptionSpec::new("strength", OptionType::share(), 1.0, "0 leaves the colours, 1 leaves only green"))
        .example("- {id: green, use: green_channel, with: {strength: 0.8}}")
}

fn main() -> ExitCode {
    pipeline::cli::main(pipeline::builtin().with(kind()))
}
