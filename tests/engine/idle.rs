//! The share of its time that the device's lane waits for its inputs.

use pipeline::contract::StageKind;
use pipeline::engine::Control;
use serde_json::json;

use super::kinds::{self, Seen};
use super::{ROOMY, graph, run_to_end, stage};

/// The share when each sample takes the workers up to `load` microseconds and the sink `work`.
fn idle(load: u64, sink: &StageKind, work: u64) -> Option<f64> {
    let stages = vec![
        stage("files", &kinds::count(), json!({"samples": 40, "bytes": 10}), &[]),
        stage("load", &kinds::mark(), json!({"delay_micros": load}), &["files"]),
        stage("sink", sink, json!({"delay_micros": work}), &["load"]),
    ];
    run_to_end(graph(stages), 2, ROOMY, &Control::new()).unwrap().device_idle
}

#[test]
fn a_slow_source_keeps_the_device_waiting_and_a_slow_device_waits_for_nothing() {
    let device = kinds::collect_on_device(Seen::default());
    let (starved, busy) = (idle(20_000, &device, 0).unwrap(), idle(0, &device, 20_000).unwrap());
    assert!(starved > 0.6 && starved <= 1.0, "{starved} of the time waited for a slow source");
    assert!((0.0..0.4).contains(&busy), "{busy} of the time waited for a fast source");
    // The host's lanes aren't the device.
    assert_eq!(idle(0, &kinds::collect(Seen::default()), 0), None);
}
