//! Arbitrary bytes as initial weights of three small networks, and as a reference for `verify`: read, or refused.

#![no_main]

use std::alloc::System;
use std::sync::LazyLock;

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use pipeline_training::device::{self, Opened};
use pipeline_training::network::Network;
use pipeline_training::networks::UNetConfig;
use pipeline_training::Precision;
use pipeline_training::verify::verify_bytes;
use pipeline_training::weights;

/// What may be held at once, in bytes; more ends the process.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 256 << 20);

static CPU: LazyLock<Opened> = LazyLock::new(|| device::open("cpu").expect("the CPU"));

static NETWORKS: LazyLock<Vec<Network>> = LazyLock::new(|| {
    let sizes = [(1, 1, "group"), (1, 2, "batch"), (2, 2, "instance")];
    sizes.map(|(base, depth, norm)| UNetConfig::new(base, depth, norm).expect("a valid size").network()).into()
});

fuzz_target!(|bytes: &[u8]| {
    for network in NETWORKS.iter() {
        if let Ok(state) = weights::read(network, bytes, &CPU.device) {
            assert_eq!(state.trained.len() + state.statistics.len() + state.counters.len(), network.layout.specs().len());
        }
    }
    if let Ok(report) = verify_bytes(bytes, "cpu", Precision::Float32) {
        assert!(report.to_string().len() < 1 << 20);
    }
});
