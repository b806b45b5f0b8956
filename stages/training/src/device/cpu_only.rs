//! A CPU-only build: every graphics device is refused, with the feature that would add it.
//! The counterpart for builds with graphics devices is `graphics`.

use burn::tensor::Device;

use pipeline_contract::{Result, StageError};

use super::opened::{About, Opened};

pub(super) const NONE: &str = "this build holds no other device";

pub(super) fn dry_run<T>(work: impl FnOnce() -> T) -> T {
    work()
}

pub(super) fn about(_: &str, _: &Device) -> (About, bool) {
    (About::default(), false)
}

pub(super) fn largest_buffer(_: &Device) -> Option<u64> {
    None
}

pub(super) fn best() -> Option<Opened> {
    None
}

pub(super) fn all() -> Vec<(String, std::result::Result<Opened, String>)> {
    Vec::new()
}

fn absent(name: &str) -> Result<Opened> {
    Err(StageError::new(format!("this build has no {name} support")).help(format!("build with `--features {name}`")))
}

pub(super) fn wgpu() -> Result<Opened> {
    absent("wgpu")
}

pub(super) fn vulkan() -> Result<Opened> {
    absent("vulkan")
}

pub(super) fn metal() -> Result<Opened> {
    absent("metal")
}

pub(super) fn cuda(_: usize) -> Result<Opened> {
    absent("cuda")
}

pub(super) fn exclusive_pages(name: &str) -> Result<()> {
    absent(name).map(|_| ())
}
