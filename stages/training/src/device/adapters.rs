//! What graphics drivers report about their cards. The drivers are asked directly, since the library behind the devices
//! doesn't pass it on.

#![allow(unsafe_code, reason = "the interface to a driver is a C one")]

use burn::cubecl::future::block_on;
use burn::cubecl::wgpu::wgpu::{self, Adapter, Backends, Instance, InstanceDescriptor, hal};

use super::opened::About;

/// What the drivers report about the card with this name. If several drivers reach it, they are tried in the library's order
/// of preference: Vulkan, Metal, DirectX.
pub(super) fn about(name: &str) -> About {
    let mut found = all().into_iter().filter(|adapter| adapter.get_info().name == name).collect::<Vec<_>>();
    found.sort_by_key(|adapter| match adapter.get_info().backend {
        wgpu::Backend::Vulkan => 0,
        wgpu::Backend::Metal => 1,
        wgpu::Backend::Dx12 => 2,
        _ => 3,
    });
    let Some(adapter) = found.first() else { return About::default() };
    let info = adapter.get_info();
    let driver = format!("{} {}", info.driver, info.driver_info);
    About {
        interface: Some(info.backend.to_string()),
        driver: Some(driver.trim().to_owned()).filter(|driver| !driver.is_empty()),
        memory: memory(adapter),
    }
}

fn all() -> Vec<Adapter> {
    let instance =
        Instance::new(InstanceDescriptor { backends: Backends::PRIMARY, ..InstanceDescriptor::new_without_display_handle() });
    block_on(instance.enumerate_adapters(Backends::PRIMARY))
}

/// Bytes in the card's device-local heaps, where Vulkan reports them.
fn memory(adapter: &Adapter) -> Option<u64> {
    // SAFETY: the adapter's handles are only read while the adapter lives, and none of them is destroyed.
    let properties = unsafe {
        let vulkan = adapter.as_hal::<hal::api::Vulkan>()?;
        vulkan.shared_instance().raw_instance().get_physical_device_memory_properties(vulkan.raw_physical_device())
    };
    // The lowest flag bit marks a device-local heap.
    let own =
        properties.memory_heaps.iter().take(properties.memory_heap_count as usize).filter(|heap| heap.flags.as_raw() & 1 != 0);
    Some(own.map(|heap| heap.size).sum()).filter(|&bytes| bytes > 0)
}
