//! Finds, opens and describes the graphics devices of a build that supports some.
//! Not compiled into a CPU-only build.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, DeviceType, Tensor};

use pipeline_contract::{Result, StageError, files, panic_words};

use super::opened::{About, Opened, is_cpu};
use super::quiet::{Quiet, first_line};

pub(super) const NONE: &str = "no graphics card was found";

/// What was tried on a device, or why it didn't work, in words.
type Tried<T> = std::result::Result<T, String>;

/// An interface to graphics cards that this build supports.
#[cfg_attr(not(feature = "wgpu"), allow(dead_code, reason = "a build for CUDA alone has none"))]
struct Interface {
    name: &'static str,
    kind: fn() -> DeviceType,
    open: fn() -> Device,
    /// Why it has no device, in a few words.
    lacks: &'static str,
}

/// The interfaces of this build besides CUDA, in the order in which a card is looked for.
const INTERFACES: &[Interface] = &[
    #[cfg(feature = "metal")]
    Interface {
        name: "metal",
        kind: || DeviceType::Metal,
        open: || Device::metal(burn::tensor::DeviceKind::DefaultDevice),
        lacks: "no Metal device was found",
    },
    #[cfg(feature = "vulkan")]
    Interface {
        name: "vulkan",
        kind: || DeviceType::Vulkan,
        open: || Device::vulkan(burn::tensor::DeviceKind::DefaultDevice),
        lacks: "no Vulkan driver was found",
    },
    #[cfg(feature = "wgpu")]
    Interface {
        name: "wgpu",
        kind: || DeviceType::Wgpu,
        open: || Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
        lacks: "no graphics driver was found",
    },
];

/// The first real card: CUDA first, then the graphics interfaces, each in burn's order (discrete cards first).
pub(super) fn best() -> Option<Opened> {
    let cards = cuda_cards().into_iter().map(|card| ("cuda", card));
    let others =
        INTERFACES.iter().flat_map(|interface| devices((interface.kind)()).into_iter().map(|card| (interface.name, card)));
    cards.chain(others).filter_map(|(name, device)| named(name, device).ok()).find(real)
}

/// The file that keeps the fastest tiles of a device with its driver and this version of the program. `None` for a software
/// renderer, unless it is wanted there too.
pub(crate) fn tiles(device: &Device, wanted: bool) -> Option<PathBuf> {
    let identity = attempt(|| device.identity()).ok().flatten()?;
    if identity.physical.is_none() && !wanted {
        return None;
    }
    let cuda = identity.fingerprint.starts_with("ptx");
    let driver = if cuda { super::nvml::driver() } else { adapter(&identity.name).driver };
    let parts = [&identity.name, &identity.fingerprint, driver.as_deref().unwrap_or_default(), env!("CARGO_PKG_VERSION")];
    let name = parts.join(" ").split(|c: char| !c.is_ascii_alphanumeric() && c != '.').collect::<Vec<_>>().join("-");
    Some(files::cache().join("tiles").join(format!("{name}.json")))
}

/// Keeps compiled kernels for the next run, in the user's cache folder and not in the working directory.
fn keep_kernels() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // Read the configuration now: its first read sets a folder of its own, which would replace ours.
        let _configured = <burn::cubecl::config::CubeClRuntimeConfig as burn::cubecl::config::RuntimeConfig>::get();
        burn::cubecl::environment::set_root(files::cache().join("kernels"));
    });
}

pub(super) fn dry_run<T>(work: impl FnOnce() -> T) -> T {
    let _dry = burn::cubecl::dry_run::DryRun::new();
    work()
}

/// Whether a dry run is going on.
pub(crate) fn is_dry_run() -> bool {
    burn::cubecl::dry_run::dry_run()
}

/// Every device that this build supports, by its name: opened, or why it can't be used.
pub(super) fn all() -> Vec<(String, Tried<Opened>)> {
    let cards = cuda_cards();
    let mut all = Vec::new();
    if cfg!(feature = "cuda") && cards.is_empty() {
        all.push(("cuda".to_owned(), Err(no_cuda_card())));
    }
    for (index, card) in cards.into_iter().enumerate() {
        all.push((format!("cuda:{index}"), named("cuda", card).and_then(compiles)));
    }
    all.extend(INTERFACES.iter().map(|interface| (interface.name.to_owned(), opened(interface))));
    all
}

/// Runs `work`, whose panics mean that a driver is missing or doesn't work: they aren't printed, and their words are the error.
/// `work` changes none of our state, so unwinding is safe.
fn attempt<T>(work: impl FnOnce() -> T) -> Tried<T> {
    keep_kernels();
    super::lost::watch();
    let quiet = Quiet::new();
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let own = || panic_words(&*panic).and_then(first_line);
        quiet.said().or_else(own).unwrap_or_else(|| "it can't be opened".into())
    })
}

fn unusable(name: &str, why: &str) -> StageError {
    StageError::new(format!("the {name} device can't be used: {why}")).help("`device: cpu` always works")
}

fn devices(kind: DeviceType) -> Vec<Device> {
    attempt(|| Device::enumerate(kind).into_vec()).unwrap_or_default()
}

/// The largest buffer that the device allows, in bytes.
pub(super) fn largest_buffer(device: &Device) -> Option<u64> {
    match device.as_dispatch() {
        DispatchDevice::Cube(device) => attempt(|| device.client().properties().memory.max_page_size).ok(),
        _ => None,
    }
}

/// What a device's driver reports about it, and whether it is a software renderer on the CPU.
pub(super) fn about(name: &str, device: &Device) -> (About, bool) {
    if is_cpu(device) {
        return (About::default(), false);
    }
    let identity = attempt(|| device.identity()).ok().flatten();
    let software = identity.as_ref().is_some_and(|identity| identity.physical.is_none());
    let card = identity.map(|identity| identity.name).unwrap_or_default();
    let capacity = match device.as_dispatch() {
        DispatchDevice::Cube(device) => attempt(|| device.client().properties().memory.max_memory()).ok().flatten(),
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
fn named(name: &str, device: Device) -> Tried<Opened> {
    let (card, software) = match attempt(|| device.identity())? {
        Some(identity) => (identity.name, identity.physical.is_none()),
        None => ("unnamed".into(), false),
    };
    let note = if software { ", a software renderer: slow, for tests only" } else { "" };
    Ok(Opened { device, description: format!("{name} ({card}{note})") })
}

fn opened(interface: &Interface) -> Tried<Opened> {
    attempt(interface.open)
        .and_then(|device| named(interface.name, device))
        // Asking first would take longer wherever there is a driver.
        .map_err(|why| if devices((interface.kind)()).is_empty() { interface.lacks.into() } else { why })
}

fn by_name(name: &str) -> Result<Opened> {
    match INTERFACES.iter().find(|interface| interface.name == name) {
        Some(interface) => opened(interface).map_err(|why| unusable(name, &why)),
        None => absent(name),
    }
}

fn absent(name: &str) -> Result<Opened> {
    Err(StageError::new(format!("this build has no {name} support")).help(format!("build with `--features {name}`")))
}

#[cfg(feature = "cuda")]
fn cuda_cards() -> Vec<Device> {
    devices(DeviceType::Cuda)
}

#[cfg(not(feature = "cuda"))]
fn cuda_cards() -> Vec<Device> {
    Vec::new()
}

fn no_cuda_card() -> String {
    match super::nvml::driver() {
        Some(driver) => format!("the driver ({driver}) shows no card to this program"),
        None => "no NVIDIA driver was found".into(),
    }
}

pub(super) fn cuda(index: usize) -> Result<Opened> {
    if cfg!(not(feature = "cuda")) {
        return absent("cuda");
    }
    let mut cards = cuda_cards();
    match cards.len() {
        0 => Err(unusable("cuda", &no_cuda_card())),
        count if index >= count => Err(StageError::new(format!("there is no cuda device {index}: the driver reports {count}"))
            .help("`device: auto` uses whatever is available")),
        _ => named("cuda", cards.swap_remove(index)).map_err(|why| unusable("cuda", &why)),
    }
}

/// Compiles and runs a small kernel, which takes more of CUDA's toolkit than opening a card does. One on half precision, since
/// that includes the toolkit's headers.
fn compiles(opened: Opened) -> Tried<Opened> {
    let half = || Tensor::<1>::ones([2], &opened.device).cast(DType::F16).try_into_data();
    match attempt(half).and_then(|read| read.map_err(|error| format!("{error:?}"))) {
        Ok(_) => Ok(opened),
        Err(why) => Err(toolkit(&why)),
    }
}

/// What is missing of CUDA's toolkit, in plain words, where a library's message is about that.
fn toolkit(said: &str) -> String {
    let lower = said.to_lowercase();
    if lower.contains("nvrtc\" shared library") {
        "CUDA's compiler (libnvrtc) can't be loaded: its folder must be on the loader's path, such as LD_LIBRARY_PATH".into()
    } else if lower.contains("cuda installation not found") || lower.contains("open source file") {
        "the CUDA toolkit's headers weren't found: CUDA_PATH must name the folder that holds `include`".into()
    } else {
        said.lines().next().unwrap_or_default().to_owned()
    }
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
        attempt(|| options.init().err().map(|error| format!("{error:?}"))).unwrap_or_else(Some)
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

pub(super) fn wgpu() -> Result<Opened> {
    by_name("wgpu")
}

pub(super) fn vulkan() -> Result<Opened> {
    by_name("vulkan")
}

pub(super) fn metal() -> Result<Opened> {
    by_name("metal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_gives_its_first_line() {
        assert_eq!(attempt(|| 3), Ok(3));
        assert!(attempt(|| -> u8 { panic!("no such card\nBacktrace:") }).is_err_and(|why| !why.contains("Backtrace")));
    }

    #[test]
    fn what_is_missing_of_a_toolkit_is_said_plainly() {
        assert!(toolkit("Unable to dynamically load the \"nvrtc\" shared library - searched for").contains("LD_LIBRARY_PATH"));
        assert!(toolkit("CUDA installation not found.").contains("CUDA_PATH"));
        assert!(toolkit("cuda_fp16.h: could not open source file\nmore").contains("CUDA_PATH"));
        assert_eq!(toolkit("out of memory\nBacktrace:"), "out of memory");
    }
}
