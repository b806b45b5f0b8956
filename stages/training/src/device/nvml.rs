//! What NVIDIA's driver reports about its cards' memory, through NVML, which is loaded at run time.

use serde::Serialize;

/// A card and its memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Card {
    /// Its name, such as `NVIDIA H200`.
    pub name: String,
    /// Total bytes.
    pub total: u64,
    /// Bytes in use by all programs together.
    pub used: u64,
}

/// The machine's NVIDIA cards, in the driver's order. `None` without the driver or a card, and in a build without graphics
/// devices.
pub fn card_memory() -> Option<Vec<Card>> {
    read().filter(|cards| !cards.is_empty())
}

#[cfg(feature = "nvml")]
fn read() -> Option<Vec<Card>> {
    let nvml = nvml_wrapper::Nvml::init().ok()?;
    let card = |index| {
        let device = nvml.device_by_index(index).ok()?;
        let memory = device.memory_info().ok()?;
        Some(Card { name: device.name().ok()?, total: memory.total, used: memory.used })
    };
    Some((0..nvml.device_count().ok()?).filter_map(card).collect())
}

/// The name and version of the driver.
#[cfg(feature = "graphics")]
pub(super) fn driver() -> Option<String> {
    let nvml = nvml_wrapper::Nvml::init().ok()?;
    let (driver, cuda) = (nvml.sys_driver_version().ok()?, nvml.sys_cuda_driver_version().ok()?);
    Some(format!("NVIDIA {driver}, CUDA {}.{}", cuda / 1000, cuda % 1000 / 10))
}

#[cfg(not(feature = "nvml"))]
fn read() -> Option<Vec<Card>> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the machine has, this doesn't panic and gives plausible figures.
    #[test]
    fn cards_use_no_more_than_they_have() {
        for Card { name, total, used } in card_memory().unwrap_or_default() {
            assert!(!name.is_empty() && used <= total, "{name}: {used} of {total}");
        }
    }
}
