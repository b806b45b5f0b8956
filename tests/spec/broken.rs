//! What is said of broken files: one file for each kind of problem, in tests/broken.

use super::{GOOD, broken_files, kinds, load, rendered};
use pipeline::contract::fact;
use pipeline::spec;

#[test]
fn every_broken_file_is_explained() {
    for (name, text) in broken_files() {
        let loaded = spec::load_text(&format!("{name}.yml"), text, &[], &kinds::registry());
        assert!(loaded.pipeline.is_none(), "{name}");
        insta::assert_snapshot!(name, rendered(&loaded));
    }
}

#[test]
fn a_good_file_has_no_problems() {
    let loaded = load(GOOD, &[]);
    assert_eq!(rendered(&loaded), "no problems in test.yml");
    let pipeline = loaded.pipeline.unwrap();
    assert_eq!(pipeline.name, "fives");
    assert_eq!((pipeline.settings.epochs, pipeline.settings.seed, pipeline.settings.host_memory_budget), (30, 42, 16 << 30));
    assert_eq!(pipeline.graph.order.len(), 14);
}

#[test]
fn what_is_known_of_the_items_reaches_the_graph() {
    let pipeline = load(GOOD, &[]).pipeline.unwrap();
    let facts = &pipeline.graph.facts[pipeline.graph.node("train").unwrap().index()];
    assert_eq!(facts[0].integer(fact::HEIGHT), Some(1024));
    assert_eq!(facts[0].get(fact::HEIGHT).unwrap().stage, "resize");
}

#[test]
fn a_warning_does_not_keep_a_file_from_running() {
    let loaded = load(GOOD, &["trainer.colour=blue"]);
    assert!(loaded.pipeline.is_some());
    assert!(rendered(&loaded).ends_with("1 warning in test.yml"));
}

#[test]
fn one_slip_makes_one_problem() {
    for (right, wrong) in [
        ("trainer:", "trainr:"),
        ("stages:", "stage:"),
        ("dataset:", "data_set:"),
        ("num_epochs:", "num_epoch:"),
        ("id: decode, ", "ID: decode, "),
        ("use: decode,", "uses: decode,"),
        ("use: augment,", "use: augmet,"),
        ("with: {model", "wiht: {model"),
        ("needs: [", "need: ["),
        ("image_size: 1024", "imagesize: 1024"),
        ("root: \"${dataset.FIVES.data_root}\"", "rot: \"${dataset.FIVES.data_root}\""),
        ("needs: [clean", "needs: [clear"),
        ("id: clean", "id: cleen"),
        ("image_size: 1024", "image_size: 1000"),
    ] {
        let text = GOOD.replacen(right, wrong, 1);
        assert_ne!(text, GOOD, "{right}");
        let loaded = load(&text, &[]);
        let errors = loaded.diagnostics.iter().filter(|problem| problem.is_error()).count();
        // Both sides of the image are checked.
        let expected = if wrong.contains("1000") { 2 } else { 1 };
        assert_eq!((errors, loaded.diagnostics.len()), (expected, expected), "{wrong}:\n{}", rendered(&loaded));
    }
}

#[test]
fn a_file_of_problems_lists_a_hundred_and_counts_the_rest() {
    let stages: String = (0..300).map(|at| format!("  - {{id: s{at}, use: nothing_like_it}}\n")).collect();
    let loaded = load(&format!("trainer: {{num_epochs: 1}}\nstages:\n{stages}"), &[]);
    assert_eq!(loaded.diagnostics.len(), 101);
    assert_eq!(loaded.diagnostics[100].message, "and 200 problems more");
}

#[test]
fn a_device_budget_is_read() {
    let loaded = load(&GOOD.replace("host_memory_budget", "memory_budget"), &[]);
    assert!(loaded.diagnostics.is_empty(), "{}", rendered(&loaded));
    let settings = loaded.pipeline.unwrap().settings;
    assert!(settings.memory_budget.is_some_and(|bytes| bytes > 0));
    assert_eq!(settings.fit, ["micro_batch", "gradient_checkpointing"]);
}
