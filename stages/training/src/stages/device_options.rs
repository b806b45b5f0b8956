//! The options about devices that several stages have, from keys of `trainer:`.

use pipeline_contract::{OptionSpec, OptionType};

use crate::device::MEMORY_POOLS;
use crate::precision::Precision;

/// Which device.
pub(super) fn device() -> OptionSpec {
    let doc = "auto, cpu, wgpu, vulkan, metal, webgpu, cuda or cuda:N";
    OptionSpec::from_key("device", OptionType::Text, "trainer.device", "auto", doc)
}

/// In which precision it computes.
pub(super) fn precision(doc: &'static str) -> OptionSpec {
    OptionSpec::from_key("mixed_precision", OptionType::Choice(Precision::NAMES), "trainer.mixed_precision", "no", doc)
}

/// How it multiplies float32.
pub(super) fn products() -> OptionSpec {
    let doc = "products of float32 convolutions: as they are, or with factors of 10 bits on a card's matrix units (faster)";
    OptionSpec::from_key("float32_matmul", OptionType::Choice(Precision::PRODUCTS), "trainer.float32_matmul", "float32", doc)
}

/// How its allocator divides memory.
pub(super) fn memory_pool() -> OptionSpec {
    let doc = "how a wgpu device's allocator divides memory: pages shared by tensors, or one for each";
    OptionSpec::from_key("memory_pool", OptionType::Choice(MEMORY_POOLS), "trainer.memory_pool", "adaptive", doc)
}
