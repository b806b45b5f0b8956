//! Pipeline files of the kinds that ship whose values are meant to break what reads, plans or runs them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use pipeline::plan::Plan;
use pipeline::spec::{self, Loaded};

const FILE: &str = "
trainer: {num_epochs: 1, device: cpu}
stages:
  - {id: files, use: synthetic_fundus, with: {size: 64}}
  - {id: decode, use: decode}
  - {id: resize, use: resize, with: {size: 64}}
  - {id: batch, use: batch}
  - {id: train, use: train_step, with: {model: {unet: {base: 4, depth: 2}}}}
  - {id: accum, use: accumulate}
  - {id: optim, use: optimizer_step, with: {adamw: {}}}
  - {id: export, use: export}
  - {id: sheet, use: preview, needs: decode}
";

fn load(text: &str, overrides: &[&str]) -> Loaded {
    let overrides: Vec<String> = overrides.iter().map(|argument| (*argument).to_owned()).collect();
    spec::load_bytes("test.yml", text.into(), &overrides, &pipeline::builtin())
}

fn refused(overrides: &[&str]) -> String {
    let start = Instant::now();
    let loaded = load(FILE, overrides);
    assert!(start.elapsed() < Duration::from_secs(3), "{overrides:?}");
    assert!(loaded.pipeline.is_none(), "{overrides:?} is taken");
    loaded.diagnostics.iter().map(|problem| problem.render(&loaded.source, false)).collect()
}

#[test]
fn amounts_that_nothing_could_hold_are_refused() {
    for (set, part) in [
        ("stages.batch.with.size=9223372036854775807", "from 1 to 65536"),
        ("stages.accum.with.steps=9223372036854775807", "from 1 to 1048576"),
        ("stages.batch.bound=9223372036854775807", "from 1 to 1024"),
        ("stages.batch.bound.items=9223372036854775807", "from 1 to 1024"),
        ("stages.decode.workers=100000", "from 0 to 1024"),
        ("stages.decode.with.max_pixels=9223372036854775807", "from 1 to 1073741824"),
        ("stages.files.with.pairs=9223372036854775807", "from 1 to 1000000"),
        ("stages.resize.with.size=9223372036854775807", "from 1 to 32768"),
    ] {
        let said = refused(&[set]);
        assert!(said.contains(part), "{set}: {said}");
    }
}

#[test]
fn the_largest_amounts_are_planned_without_overflow() {
    let largest = [
        "stages.batch.with.size=65536",
        "stages.accum.with.steps=1048576",
        "stages.files.with.pairs=1000000",
        "stages.resize.with.size=32768",
        "stages.train.with.model.unet.base=512",
        "trainer.num_epochs=9223372036854775807",
        "trainer.host_memory_budget=9223372036854775807",
        "stages.decode.bound={items: 1024, bytes: 9223372036854775807}",
        "stages.decode.workers=1024",
    ];
    for depth in 1..=8 {
        for precision in ["'no'", "fp16"] {
            let more = [
                format!("stages.train.with.model.unet.depth={depth}"),
                format!("stages.train.with.mixed_precision={precision}"),
            ];
            let overrides: Vec<&str> = largest.into_iter().chain(more.iter().map(String::as_str)).collect();
            let loaded = load(FILE, &overrides);
            let plan = Plan::of(&loaded.pipeline.unwrap()).unwrap();
            assert!(plan.device_peak() > 1 << 50, "depth {depth}: {} bytes", plan.device_peak());
            assert!(plan.to_text(None).contains("host:"));
        }
    }
}

#[test]
fn a_stage_writes_only_inside_the_runs_folder() {
    for path in ["/tmp/x", "../x", "a/../../x", "..", "."] {
        for (stage, ending) in [("export", "safetensors"), ("sheet", "png")] {
            for name in [path.to_owned(), format!("{path}/y.{ending}")].iter().filter(|name| *name != &format!("./y.{ending}"))
            {
                let said = refused(&[&format!("stages.{stage}.with.file={name}")]);
                assert!(said.contains("in the run's folder"), "{name}: {said}");
            }
        }
    }
    assert!(load(FILE, &["stages.export.with.file=a/last.safetensors", "stages.sheet.with.file=./y.png"]).pipeline.is_some());
    assert!(refused(&["name=../x"]).contains("`name` must be a word"));
}

#[test]
fn patterns_that_explode_or_leave_their_root_are_refused() {
    let many = vec!["\"{id}.png\""; 65].join(", ");
    for (image, part) in [
        ("\"{id:((a{99}){99}){99}}.png\"", "size limit"),
        ("\"../{id}.png\"", "leaves `root`"),
        ("\"a/../../{id}.png\"", "leaves `root`"),
        ("\"/etc/{id}.png\"", "no path below `root`"),
        (format!("[{many}]").as_str(), "1 to 64"),
    ] {
        let text = FILE.replace(
            "use: synthetic_fundus, with: {size: 64}",
            &format!("use: image_pairs, with: {{image: {image}, mask: \"{{id}}.gif\"}}"),
        );
        let loaded = load(&text, &[]);
        let said: String = loaded.diagnostics.iter().map(|problem| problem.render(&loaded.source, false)).collect();
        assert!(loaded.pipeline.is_none() && said.contains(part), "{image}: {said}");
    }
}

#[test]
fn the_fuzzers_seeds_are_read() {
    let mut good = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/yaml")).unwrap() {
        let path = entry.unwrap().path();
        // What follows a byte of 255 is for overrides.
        let bytes = std::fs::read(&path).unwrap();
        let text = bytes.split(|&byte| byte == 0xff).next().unwrap().to_vec();
        let loaded = spec::load_bytes("seed.yml", text, &[], &pipeline::builtin());
        let said: String = loaded.diagnostics.iter().map(|problem| problem.render(&loaded.source, false)).collect();
        assert_eq!(loaded.pipeline.is_none(), path.ends_with("broken.yml"), "{}: {said}", path.display());
        good += u32::from(loaded.pipeline.is_some());
    }
    assert!(good >= 7);
}
