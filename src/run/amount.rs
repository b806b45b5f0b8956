//! Amounts of memory as people read them.

use pipeline_contract::events::StepEvent;

/// Bytes that were planned at most; `None` without a plan.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Planned {
    pub device: Option<u64>,
    pub host: Option<u64>,
}

/// What a step's figures say of memory, now and at most, against the plan.
pub(super) fn memory(step: &StepEvent, planned: Planned) -> String {
    let sides = [
        ("dev", step.device_bytes, step.device_bytes_peak, planned.device),
        ("host", step.host_bytes, step.host_bytes_peak, planned.host),
    ];
    let said = sides.into_iter().filter_map(|(what, now, peak, planned)| {
        let (now, peak) = (now?, peak?);
        Some(match planned {
            Some(planned) => {
                let unit = unit(peak.max(planned));
                format!("{what} {}/{} of {} {}", unit.of(now), unit.of(peak), unit.of(planned), unit.name)
            }
            None => format!("{what} {}", amount(now, peak)),
        })
    });
    said.collect::<Vec<_>>().join("  ")
}

/// What a step's figures say of the device's peak: its bytes, and in words where it was and what was held for what. `None`
/// where they say nothing.
pub(super) fn peak(step: &StepEvent) -> Option<(u64, String)> {
    let (causes, place) = (&step.device_peak_by_cause, &step.device_peak_place);
    if causes.is_empty() {
        return None;
    }
    let total = causes.iter().map(|(_, held)| *held).fold(0, u64::saturating_add);
    let unit = unit(total);
    let listed: Vec<String> =
        causes.iter().map(|(cause, held)| format!("{} {}", cause.replace('_', " "), unit.of(*held))).collect();
    Some((total, format!("device peak {} {} in {place}: {}", unit.of(total), unit.name, listed.join(", "))))
}

/// A unit of memory that amounts are told in.
#[derive(Debug, Clone, Copy)]
struct Unit {
    bytes: f64,
    name: &'static str,
    digits: usize,
}

impl Unit {
    fn of(self, bytes: u64) -> String {
        format!("{:.*}", self.digits, bytes as f64 / self.bytes)
    }
}

/// The unit for amounts of which this is the largest.
fn unit(largest: u64) -> Unit {
    let (bytes, name) =
        [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")].into_iter().find(|&(unit, _)| largest as f64 >= unit).unwrap_or((1.0, "B"));
    Unit { bytes, name, digits: usize::from(bytes > 1.0 && (largest as f64) < 100.0 * bytes) }
}

/// Two amounts of bytes in the unit of the larger, such as `168/212 MB`: now and at most, or used and there.
pub(crate) fn amount(part: u64, whole: u64) -> String {
    let unit = unit(part.max(whole));
    format!("{}/{} {}", unit.of(part), unit.of(whole), unit.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_where_it_is_known() {
        let host = StepEvent { host_bytes: Some(5), host_bytes_peak: Some(7), ..StepEvent::default() };
        let all = StepEvent {
            device_bytes: Some(168_000_000),
            device_bytes_peak: Some(212_000_000),
            host_bytes: Some(12_000_000),
            host_bytes_peak: Some(31_000_000),
            ..StepEvent::default()
        };
        let none = Planned::default();
        assert_eq!(memory(&all, none), "dev 168/212 MB  host 12.0/31.0 MB");
        let planned = Planned { device: Some(214_000_000), host: None };
        assert_eq!(memory(&all, planned), "dev 168/212 of 214 MB  host 12.0/31.0 MB");
        assert_eq!(memory(&host, none), "host 5/7 B");
        assert_eq!(memory(&StepEvent::default(), none), "");
    }

    #[test]
    fn the_peak_is_told_by_cause() {
        let causes = [("weights", 8_000_000), ("saved_activations", 103_400_000)];
        let step = StepEvent {
            device_peak_place: "decode.3 backward".into(),
            device_peak_by_cause: causes.into_iter().collect(),
            ..StepEvent::default()
        };
        let said = "device peak 111 MB in decode.3 backward: weights 8, saved activations 103";
        assert_eq!(peak(&step), Some((111_400_000, said.to_owned())));
        assert_eq!(peak(&StepEvent::default()), None);
    }

    #[test]
    fn amounts_share_the_unit_of_the_larger() {
        assert_eq!(amount(168_400_000, 212_000_000), "168/212 MB");
        assert_eq!(amount(400_000, 31_250_000), "0.4/31.2 MB");
        assert_eq!(amount(512_000_000, 143_771_000_000), "1/144 GB");
        assert_eq!(amount(0, 900), "0/900 B");
        assert_eq!(amount(1_500, 2_000), "1.5/2.0 kB");
    }
}
