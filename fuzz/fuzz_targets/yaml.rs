//! Arbitrary bytes as a pipeline file: read with the shipped kinds, up to the graph, its drawings and its plan, or refused with
//! problems that have a place. Bytes of 255, which no UTF-8 text holds, set overrides (`--set`) apart from the file.

#![no_main]

use std::alloc::System;
use std::sync::LazyLock;

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use pipeline::contract::Registry;
use pipeline::graph::{Format, draw};
use pipeline::plan::Plan;
use pipeline::spec::{self, Pipeline};

/// What may be held at once, in bytes; more ends the process.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 512 << 20);

static KINDS: LazyLock<Registry> = LazyLock::new(pipeline::builtin);

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.split(|&byte| byte == 0xff);
    let text = parts.next().unwrap_or_default().to_vec();
    let overrides: Vec<String> = parts.take(8).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    let loaded = spec::load_bytes("fuzz.yml", text, &overrides, &KINDS);
    assert_eq!(loaded.pipeline.is_none(), loaded.diagnostics.iter().any(|problem| problem.is_error()));
    for problem in &loaded.diagnostics {
        let shown = problem.render(&loaded.source, false);
        assert!(!shown.contains("this is a bug of"), "{shown}");
    }
    loaded.pipeline.iter().for_each(used);
});

/// What the program does with a valid file, without running it.
fn used(pipeline: &Pipeline) {
    for format in [Format::Dot, Format::Svg, Format::Mermaid, Format::Ascii] {
        draw(&pipeline.graph, &pipeline.name, format, None);
    }
    if let Ok(plan) = Plan::of(pipeline) {
        plan.to_text(None);
        plan.to_json(None);
    }
    let again = spec::load_text("resolved.yml", spec::to_yaml(&pipeline.resolved), &[], &KINDS);
    assert_eq!(again.pipeline.map(|again| again.resolved).as_ref(), Some(&pipeline.resolved));
}
