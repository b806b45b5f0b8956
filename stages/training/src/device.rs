//! The one place that maps a device's name in a file to a burn device, and that knows how devices differ.
//! Nothing else in the program names a backend.

#[cfg(feature = "wgpu")]
mod adapters;
#[cfg(not(feature = "graphics"))]
#[path = "device/cpu_only.rs"]
mod graphics;
#[cfg(feature = "graphics")]
mod graphics;
mod lost;
mod nvml;
mod opened;
mod platform;
#[cfg(feature = "graphics")]
mod quiet;

#[cfg(feature = "graphics")]
pub(crate) use graphics::{is_dry_run, tiles};
pub(crate) use lost::failed;
pub use nvml::{Card, card_memory};
use opened::is_cpu;
pub use opened::{About, Opened};
pub use platform::Platform;

use burn::tensor::Device;
use pipeline_contract::memory::{self, Side};
use pipeline_contract::{Result, StageError};
use serde::Serialize;

use crate::precision::Precision;

/// The names that a file may give, for help and errors.
pub const NAMES: &str = "auto, cpu, wgpu, vulkan, metal, webgpu, cuda, cuda:1";

/// Opens a device by its name: `auto`, `cpu`, `wgpu`, `vulkan`, `metal`, `webgpu`, `cuda` or `cuda:N`.
///
/// `auto` takes the first real graphics card that this build can use, otherwise the CPU. It never takes a software renderer
/// (llvmpipe, SwiftShader). The description says which device was taken.
///
/// # Errors
/// When the name is unknown, this build doesn't support the device, or the machine doesn't have it.
pub fn open(name: &str) -> Result<Opened> {
    match name.split_once(':').unwrap_or((name, "")) {
        ("auto", "") => Ok(automatic()),
        ("cpu", "") => Ok(Opened { device: Device::flex(), description: "cpu".into() }),
        ("wgpu", "") => graphics::wgpu(),
        ("vulkan", "") => graphics::vulkan(),
        ("metal", "") => graphics::metal(),
        // Outside a browser, the library behind `wgpu` is the implementation of WebGPU.
        ("webgpu", "") => graphics::wgpu(),
        ("cuda", "") => graphics::cuda(0),
        ("cuda", index) => match index.parse() {
            Ok(index) => graphics::cuda(index),
            Err(_) => Err(unknown(name)),
        },
        _ => Err(unknown(name)),
    }
}

/// Whether a device has this name, in whatever build, on whatever machine.
pub fn is_name(name: &str) -> bool {
    match name.split_once(':') {
        None => ["auto", "cpu", "wgpu", "vulkan", "metal", "webgpu", "cuda"].contains(&name),
        Some((kind, index)) => kind == "cuda" && index.parse::<usize>().is_ok(),
    }
}

/// A device that this build can use on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its name in files, such as `wgpu` or `cuda:0`.
    pub device: String,
    /// A readable description.
    pub description: String,
    /// What its driver reports.
    #[serde(flatten)]
    pub about: About,
    /// True for a software renderer, which runs on the CPU.
    pub software: bool,
    /// The values of `mixed_precision` that it supports.
    pub precisions: Vec<&'static str>,
}

/// A device that this build supports and that can't be used on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unusable {
    /// Its name in files, such as `vulkan` or `cuda:0`.
    pub device: String,
    /// The reason.
    pub why: String,
}

/// The devices that this build can use on this machine, by their names in files, the CPU first, and those that it supports
/// and can't use here. This opens the graphics devices and runs a kernel on CUDA cards.
pub fn find() -> (Vec<Found>, Vec<Unusable>) {
    let (mut found, mut unusable) = (Vec::new(), Vec::new());
    let cpu = ("cpu".to_owned(), Ok(Opened { device: Device::flex(), description: "cpu".into() }));
    for (device, opened) in std::iter::once(cpu).chain(graphics::all()) {
        match opened {
            Ok(opened) => {
                let precisions = Precision::ALL.into_iter().filter(|&precision| supports(&opened, precision).is_ok());
                let precisions = precisions.map(Precision::name).collect();
                let (about, software) = graphics::about(&device, &opened.device);
                found.push(Found { device, precisions, description: opened.description, about, software });
            }
            Err(why) => unusable.push(Unusable { device, why }),
        }
    }
    (found, unusable)
}

/// The names in files for how a graphics device's allocator divides memory.
pub const MEMORY_POOLS: &[&str] = &["adaptive", "exclusive_pages"];

/// Sets the allocator of a graphics device before it is first opened: `adaptive` carves tensors out of pages as large as the
/// largest tensor, `exclusive_pages` gives each tensor its own page. Only wgpu devices requested by name can be set.
///
/// # Errors
/// When another kind of device is requested, or the device refuses.
pub fn set_memory_pool(name: &str, pool: &str) -> Result<()> {
    match (pool, name) {
        ("adaptive", _) => Ok(()),
        ("exclusive_pages", "wgpu" | "vulkan" | "metal") => graphics::exclusive_pages(name),
        ("exclusive_pages", _) => {
            Err(StageError::new(format!("memory_pool: exclusive_pages is for wgpu devices, not for device: {name}"))
                .help("device: wgpu, vulkan or metal; otherwise memory_pool: adaptive"))
        }
        _ => Err(StageError::new(format!("there is no memory pool named {pool:?}")).help(MEMORY_POOLS.join(" or "))),
    }
}

fn unknown(name: &str) -> StageError {
    StageError::new(format!("there is no device named {name:?}")).help(format!("one of {NAMES}"))
}

/// Checks that a device supports a precision.
///
/// # Errors
/// When it doesn't; the help lists the precisions that it supports.
pub fn supports(opened: &Opened, precision: Precision) -> Result<()> {
    // The CPU only stores maps in the precision and computes in float32, so it supports every precision.
    let can = |precision: Precision| is_cpu(&opened.device) || opened.device.supports_dtype(precision.dtype());
    if can(precision) {
        return Ok(());
    }
    let others: Vec<_> = Precision::ALL.into_iter().filter(|&other| can(other)).map(Precision::name).collect();
    let message = format!("{} can't do mixed_precision: {}", opened.description, precision.name());
    Err(StageError::new(message).help(format!("mixed_precision: {}", others.join(" or "))))
}

/// Bytes that the device's allocator has in use now, and bytes that it has reserved (and so keeps from other programs).
/// `None` where it doesn't report them.
///
/// On the CPU these are the bytes that the device's lane has allocated in this process now and at its peak so far, as
/// counted by [`memory::usage`]; `None` in a program without the counting allocator.
pub fn device_memory(device: &Device) -> Option<(u64, u64)> {
    if is_cpu(device) {
        return memory::usage(Side::Device).map(|usage| (usage.now, usage.peak));
    }
    device.memory_pool_usage().map(|usage| (usage.bytes_in_use, usage.bytes_reserved))
}

/// The largest buffer that a graphics device allows, in bytes; `None` on the CPU.
pub fn largest_buffer(device: &Device) -> Option<u64> {
    if is_cpu(device) { None } else { graphics::largest_buffer(device) }
}

/// Bytes held from the system's point of view, used or not: on a graphics device what the allocator has reserved, on the CPU
/// the process's resident memory (on Linux). `None` where neither is known.
pub(crate) fn held(device: &Device) -> Option<u64> {
    if !is_cpu(device) {
        return device_memory(device).map(|(_, reserved)| reserved);
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Returns the unused memory of a device's allocator to the system.
///
/// # Errors
/// What the device reports.
pub(crate) fn give_back(device: &Device) -> Result<()> {
    if is_cpu(device) {
        memory::return_unused();
        return Ok(());
    }
    device.memory_cleanup();
    synchronize(device)
}

/// While `work` runs, graphics devices compile the requested kernels but launch none, on all threads, and their allocators
/// count pages but don't fill them.
pub(crate) fn dry_run<T>(work: impl FnOnce() -> T) -> T {
    graphics::dry_run(work)
}

/// Waits until the device has finished all its work.
///
/// # Errors
/// What the device reports.
pub fn synchronize(device: &Device) -> Result<()> {
    device.sync().map_err(|error| failed(&format!("{error:?}")))
}

fn automatic() -> Opened {
    match graphics::best() {
        Some(Opened { device, description }) => Opened { device, description: format!("{description} (auto)") },
        None => Opened { device: Device::flex(), description: format!("cpu (auto: {}{})", graphics::NONE, unused()) },
    }
}

/// Names a card that the system (Linux) has and this build can't use, with the feature that would enable it.
fn unused() -> &'static str {
    let has = |path: &str| std::path::Path::new(path).exists();
    if cfg!(not(feature = "cuda")) && has("/dev/nvidia0") {
        "; an NVIDIA card is here, for a build with `--features cuda` or `vulkan`"
    } else if cfg!(not(feature = "graphics")) && has("/dev/dri/renderD128") {
        "; a graphics card is here, for a build with `--features vulkan`"
    } else {
        ""
    }
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "tests may panic")]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_and_absent_devices_say_what_to_do() {
        let absent = [("webgpu", "--features wgpu")].into_iter().filter(|_| cfg!(not(feature = "wgpu")));
        for (name, part) in [("gpu", "one of"), ("cuda:x", "one of"), ("cpu:1", "one of")].into_iter().chain(absent) {
            let error = open(name).expect_err(name);
            assert!(error.mend().is_some_and(|help| help.contains(part)), "{error}: {:?}", error.mend());
        }
        assert!(is_cpu(&open("cpu").expect("the CPU").device));
    }

    #[cfg(not(feature = "graphics"))]
    #[test]
    fn auto_on_a_build_for_the_cpu_says_so() {
        assert!(open("auto").expect("the CPU").description.starts_with("cpu (auto: this build holds no other device"));
        assert_eq!(open("cuda:1").expect_err("no cuda").mend(), Some("build with `--features cuda`"));
    }
}
