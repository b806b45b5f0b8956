//! The networks: each file lists the blocks of one. What they have in common is `network`.

mod unet;

pub use unet::UNetConfig;
