//! Finds, opens and describes the graphics devices of a build that supports some.
//! Not compiled into a CPU-only build.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use burn::backend::DispatchDevice;
use burn::tensor::{Device, DeviceType};

use pipeline_contract::{Result, StageError};

use super::opened::{About, Opened, is_cpu};
use super::quiet::Quiet;

pub(super) const NONE: &str = "no graphics card was found";

/// The first real card: CUDA first, then the graphics interfaces, each in burn's order (discrete cards first).
pub(super) fn best() -> Option<Opened> {
    let kinds = [
        #[cfg(feature = "cuda")]
        ("cuda", DeviceType::Cuda),
        #[cfg(feature = "metal")]
        ("metal", DeviceType::Metal),
        #[cfg(feature = "vulkan")]
        ("vulkan", DeviceType::Vulkan),
        #[cfg(feature = "wgpu")]
        ("wgpu", DeviceType::Wgpu),
    ];
    kinds
        .into_iter()
        .find_map(|(name, kind)| devices(kind).into_iter().filter_map(|device| named(name, device).ok()).find(real))
}

/// Keeps compiled kernels for the next run, in the user's cache folder and not in the working directory.
fn keep_kernels() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let folder = |variable| std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
        let cache = folder("PIPELINE_CACHE")
            .or_else(|| folder("XDG_CACHE_HOME").or_else(|| folder("LOCALAPPDATA")).map(|path| path.join("pipeline")))
            .or_else(|| folder("HOME").map(|home| home.join(".cache/pipeline")))
            .unwrap_or_else(|| std::env::temp_dir().join("pipeline"));
        // Read the configuration now: its first read sets a folder of its own, which would replace ours.
        let _configured = <burn::cubecl::config::CubeClRuntimeConfig as burn::cubecl::config::RuntimeConfig>::get();
        burn::cubecl::environment::set_root(cache.join("kernels"));
    });
}

pub(super) fn dry_run<T>(work: impl FnOnce() -> T) -> T {
    let _dry = burn::cubecl::dry_run::DryRun::new();
    work()
}

/// Every device that can be opened, with its name.
pub(super) fn all() -> Vec<(String, Opened)> {
    let named = [("metal", metal()), ("vulkan", vulkan()), ("wgpu", wgpu())];
    let cards = (0..devices_of_cuda()).map(|index| (format!("cuda:{index}"), cuda(index)));
    let all = cards.chain(named.map(|(name, opened)| (name.to_owned(), opened)));
    all.filter_map(|(name, opened)| Some((name, opened.ok()?))).collect()
}

#[cfg(feature = "cuda")]
fn devices_of_cuda() -> usize {
    devices(DeviceType::Cuda).len()
}

#[cfg(not(feature = "cuda"))]
fn devices_of_cuda() -> usize {
    0
}

/// Returns `None`, without printing anything, where a backend panics because a driver is missing. `work` changes none of our
/// state, so unwinding is safe.
fn attempt<T>(work: impl FnOnce() -> T) -> Option<T> {
    keep_kernels();
    super::lost::watch();
    let _quiet = Quiet::new();
    catch_unwind(AssertUnwindSafe(work)).ok()
}

fn unopened(name: &str) -> StageError {
    StageError::new(format!("the {name} device can't be opened on this machine")).help("`device: cpu` always works")
}

fn devices(kind: DeviceType) -> Vec<Device> {
    attempt(|| Device::enumerate(kind).into_vec()).unwrap_or_default()
}

/// The largest buffer that the device allows, in bytes.
pub(super) fn largest_buffer(device: &Device) -> Option<u64> {
    match device.as_dispatch() {
        DispatchDevice::Cube(device) => attempt(|| device.client().properties().memory.max_page_size),
        _ => None,
    }
}

/// What a device's driver reports about it, and whether it is a software renderer on the CPU.
pub(super) fn about(name: &str, device: &Device) -> (About, bool) {
    if is_cpu(device) {
        return (About::default(), false);
    }
    let identity = attempt(|| device.identity()).flatten();
    let software = identity.as_ref().is_some_and(|identity| identity.physical.is_none());
    let card = identity.map(|identity| identity.name).unwrap_or_default();
    let capacity = match device.as_dispatch() {
        DispatchDevice::Cube(device) => attempt(|| device.client().properties().memory.max_memory()).flatten(),
        _ => None,
    };
    let about = if name.starts_with("cuda") {
        About { interface: Some("cuda".into()), driver: super::nvml::driver(), memory: None }
    } else {
        adapter(&card)
    };
    (About { memory: about.memory.or(capacity), ..about }, software)
}

#[cfg(feature = "wgpu")]
fn adapter(card: &str) -> About {
    attempt(|| super::adapters::about(card)).unwrap_or_default()
}

#[cfg(not(feature = "wgpu"))]
fn adapter(_: &str) -> About {
    About::default()
}

/// True for a real card: only those have a bus address, and burn gives software rasterizers none.
fn real(opened: &Opened) -> bool {
    opened.device.identity().is_some_and(|identity| identity.physical.is_some())
}

/// Opens the device and describes it by its card's name.
fn named(name: &str, device: Device) -> Result<Opened> {
    let identity = attempt(|| device.identity()).ok_or_else(|| unopened(name))?;
    let (card, software) = match identity {
        Some(identity) => (identity.name, identity.physical.is_none()),
        None => ("unnamed".into(), false),
    };
    let note = if software { ", a software renderer: slow, for tests only" } else { "" };
    Ok(Opened { device, description: format!("{name} ({card}{note})") })
}

fn one(name: &str, make: impl FnOnce() -> Device) -> Result<Opened> {
    named(name, attempt(make).ok_or_else(|| unopened(name))?)
}

#[cfg(feature = "cuda")]
pub(super) fn cuda(index: usize) -> Result<Opened> {
    let count = devices(DeviceType::Cuda).len();
    if index >= count {
        return Err(StageError::new(format!("there is no cuda device {index}: the driver reports {count}"))
            .help("`device: auto` uses whatever is available"));
    }
    one("cuda", move || Device::cuda(index))
}

/// Registers the device with a separate page for each allocation. This happens once, since an open device can't be changed.
#[cfg(feature = "wgpu")]
pub(super) fn exclusive_pages(name: &str) -> Result<()> {
    use burn::tensor::wgpu::{MemoryConfiguration, WgpuBackend};
    static DONE: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let failed = DONE.get_or_init(|| {
        let options = Device::wgpu_options().memory_config(MemoryConfiguration::ExclusivePages);
        let options = match name {
            "vulkan" => options.graphics_api(WgpuBackend::Vulkan),
            "metal" => options.graphics_api(WgpuBackend::Metal),
            _ => options,
        };
        attempt(|| options.init().err().map(|error| format!("{error:?}"))).unwrap_or(Some("it can't be opened".into()))
    });
    match failed {
        None => Ok(()),
        Some(why) => {
            Err(StageError::new(format!("the {name} device's memory pool can't be set: {why}")).help("memory_pool: adaptive"))
        }
    }
}

#[cfg(not(feature = "wgpu"))]
pub(super) fn exclusive_pages(name: &str) -> Result<()> {
    absent(name).map(|_| ())
}

#[cfg(feature = "wgpu")]
pub(super) fn wgpu() -> Result<Opened> {
    one("wgpu", || Device::wgpu(burn::tensor::DeviceKind::DefaultDevice))
}

#[cfg(feature = "vulkan")]
pub(super) fn vulkan() -> Result<Opened> {
    one("vulkan", || Device::vulkan(burn::tensor::DeviceKind::DefaultDevice))
}

#[cfg(feature = "metal")]
pub(super) fn metal() -> Result<Opened> {
    one("metal", || Device::metal(burn::tensor::DeviceKind::DefaultDevice))
}

#[cfg(not(all(feature = "cuda", feature = "vulkan", feature = "metal")))]
fn absent(name: &str) -> Result<Opened> {
    Err(StageError::new(format!("this build has no {name} support")).help(format!("build with `--features {name}`")))
}

#[cfg(not(feature = "cuda"))]
pub(super) fn cuda(_: usize) -> Result<Opened> {
    absent("cuda")
}

#[cfg(not(feature = "wgpu"))]
pub(super) fn wgpu() -> Result<Opened> {
    absent("wgpu")
}

#[cfg(not(feature = "vulkan"))]
pub(super) fn vulkan() -> Result<Opened> {
    absent("vulkan")
}

#[cfg(not(feature = "metal"))]
pub(super) fn metal() -> Result<Opened> {
    absent("metal")
}
