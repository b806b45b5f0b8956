//! The one place that maps a device's name in a file to a device of burn, and that knows how devices differ.
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

pub(crate) use lost::failed;
pub use nvml::{Card, card_memory};
use opened::is_cpu;
pub use opened::{About, Opened};
pub use platform::Platform;

#[cfg(feature = "graphics")]
use burn::backend::{Backend as _, DTypeUsage, Dispatch};
use burn::tensor::Device;
use pipeline_contract::memory::{self, Side};
use pipeline_contract::{Result, StageError};
use serde::Serialize;

use crate::precision::Precision;

/// The names that a file may give, for help and errors.
pub const NAMES: &str = "auto, cpu, wgpu, vulkan, metal, webgpu, cuda, cuda:1";

/// Opens a device by its name: `auto`, `cpu`, `wgpu`, `vulkan`, `metal`, `webgpu`, `cuda` or `cuda:N`.
///
/// `auto` takes the first real graphics card that this build can use, otherwise the CPU, and never a card that is drawn by
/// the CPU (llvmpipe, SwiftShader). What was taken is said in the description.
///
/// # Errors
/// When the name is unknown, this build doesn't hold the device, or the machine hasn't got it.
pub fn open(name: &str) -> Result<Opened> {
    match name.split_once(':').unwrap_or((name, "")) {
        ("auto", "") => Ok(automatic()),
        ("cpu", "") => Ok(Opened { device: Device::flex(), description: "cpu".into() }),
        ("wgpu", "") => graphics::wgpu(),
        ("vulkan", "") => graphics::vulkan(),
        ("metal", "") => graphics::metal(),
        // Outside a browser, the library that stands behind `wgpu` is what there is of WebGPU.
        ("webgpu", "") => graphics::wgpu(),
        ("cuda", "") => graphics::cuda(0),
        ("cuda", index) => match index.parse() {
            Ok(index) => graphics::cuda(index),
            Err(_) => Err(unknown(name)),
        },
        _ => Err(unknown(name)),
    }
}

/// A device that this build can open on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its name in files, such as `wgpu` or `cuda:0`.
    pub device: String,
    /// What it is, in words.
    pub description: String,
    /// What its driver says of it.
    #[serde(flatten)]
    pub about: About,
    /// True for a device that is drawn by the CPU.
    pub software: bool,
    /// The values of `mixed_precision` that it can do.
    pub precisions: Vec<&'static str>,
}

/// The devices that this build can open on this machine, by the names that files may give: the CPU first. Graphics devices are
/// opened for it.
pub fn find() -> Vec<Found> {
    let cpu = ("cpu".to_owned(), Opened { device: Device::flex(), description: "cpu".into() });
    let describe = |(device, opened): (String, Opened)| {
        let precisions = Precision::ALL.into_iter().filter(|&precision| supports(&opened, precision).is_ok());
        let precisions = precisions.map(Precision::name).collect();
        let (about, software) = graphics::about(&device, &opened.device);
        Found { device, precisions, description: opened.description, about, software }
    };
    std::iter::once(cpu).chain(graphics::all()).map(describe).collect()
}

/// How the allocator of a graphics device divides memory, by the names in files.
pub const MEMORY_POOLS: &[&str] = &["adaptive", "exclusive_pages"];

/// Sets the allocator of a graphics device before it is first opened: `adaptive` carves tensors out of pages as large as the
/// largest of them, `exclusive_pages` gives each its own page. Only wgpu devices that are asked for by name can be set.
///
/// # Errors
/// When another device is asked for, or it refuses.
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

/// Whether a device computes in a precision.
///
/// # Errors
/// When it can't, with what it can.
pub fn supports(opened: &Opened, precision: Precision) -> Result<()> {
    // On the CPU maps are stored in it and computed in float32, which every CPU can.
    let can = |precision: Precision| is_cpu(&opened.device) || opened.device.supports_dtype(precision.dtype());
    if can(precision) {
        return Ok(());
    }
    let others: Vec<_> = Precision::ALL.into_iter().filter(|&other| can(other)).map(Precision::name).collect();
    let message = format!("{} can't do mixed_precision: {}", opened.description, precision.name());
    Err(StageError::new(message).help(format!("mixed_precision: {}", others.join(" or "))))
}

/// Whether a device has matrix units for a precision. This build's convolutions don't use them (burn's `autotune` is left out), only its
/// products of matrices do.
#[cfg(feature = "graphics")]
pub(crate) fn has_matrix_units(device: &Device, precision: Precision) -> bool {
    Dispatch::dtype_usage(device.as_dispatch(), precision.dtype()).contains(DTypeUsage::Accelerated)
}

/// Bytes that the device's allocator has in use now, and that it has reserved (what it will not give to others); `None`
/// where it doesn't say.
///
/// On the CPU that is what the device's lane has allocated in this process, as [`memory::usage`] counts it, and at most so far;
/// `None` in a program without the counting allocator.
pub fn device_memory(device: &Device) -> Option<(u64, u64)> {
    if is_cpu(device) {
        return memory::usage(Side::Device).map(|usage| (usage.now, usage.peak));
    }
    device.memory_pool_usage().map(|usage| (usage.bytes_in_use, usage.bytes_reserved))
}

/// Bytes that a buffer of a graphics device may have; `None` on the CPU.
pub fn largest_buffer(device: &Device) -> Option<u64> {
    if is_cpu(device) { None } else { graphics::largest_buffer(device) }
}

/// Bytes that are held from the system's point of view, used or not: what a device's allocator reserved; on the CPU what the
/// process has resident (Linux says). `None` where nobody says.
pub(crate) fn held(device: &Device) -> Option<u64> {
    if !is_cpu(device) {
        return device_memory(device).map(|(_, reserved)| reserved);
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Gives back what a device's allocator holds without need.
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

/// While `work` runs, graphics devices compile the kernels that they are asked for and launch none of them, on all threads; their
/// allocators count pages and fill none.
pub(crate) fn dry_run<T>(work: impl FnOnce() -> T) -> T {
    graphics::dry_run(work)
}

/// Waits for all work of the device.
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

/// The card that the system (Linux) has and this build can't use, with the feature that would.
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
