//! `trainer.early_stopping`: what it goes by, and what it is refused with.

use super::kinds::{evaluate_on_cpu, registry};
use super::{GOOD, load, rendered, resolved};
use pipeline::spec::{EarlyStopping, load_text};

const ON: &str = "trainer.early_stopping={patience: 3, min_delta: 0.01}";

#[test]
fn it_is_off_by_default_and_has_defaults_when_it_is_on() {
    let stopping = |set: &[&str]| load(GOOD, set).pipeline.unwrap().settings.early_stopping;
    assert_eq!(stopping(&[]), None);
    assert_eq!(stopping(&["trainer.early_stopping={}"]), Some(EarlyStopping { patience: 10, min_delta: 0.0 }));
    assert_eq!(stopping(&[ON]), Some(EarlyStopping { patience: 3, min_delta: 0.01 }));
    let file = resolved(GOOD, &[ON]);
    assert_eq!(file["trainer"]["early_stopping"], serde_json::json!({"patience": 3, "min_delta": 0.01}));
    assert!(resolved(GOOD, &[])["trainer"].get("early_stopping").is_none());
}

#[test]
fn without_a_figure_to_go_by_it_is_refused() {
    let said = |text: &str, set: &[&str]| {
        let loaded = load(text, set);
        assert!(loaded.pipeline.is_none(), "{set:?} is taken");
        rendered(&loaded)
    };
    let off = said(GOOD, &[ON, "trainer.checkpoint={best: false}"]);
    for words in ["goes by the metric of `trainer.checkpoint.best`, which is false", "remove `best: false`, or name a metric"] {
        assert!(off.contains(words), "{words}\n{off}");
    }
    let without = GOOD.split("  - {id: test_files").next().unwrap();
    let none = said(without, &[ON]);
    assert!(none.contains("no stage of this file measures anything") && none.contains("add an evaluator"), "{none}");
    let (text, registry) = (GOOD.replace("use: evaluate", "use: evaluate_on_cpu"), registry().with_all([evaluate_on_cpu()]));
    let elsewhere = rendered(&load_text("test.yml", text, &[ON.to_owned()], &registry));
    assert!(elsewhere.contains("goes by `evaluate`, which doesn't run on the device's thread"), "{elsewhere}");
    assert!(said(GOOD, &["trainer.early_stopping={patience: 0}"]).contains("a whole number of at least 1"));
    assert!(said(GOOD, &["trainer.early_stopping={patence: 2}"]).contains("did you mean `patience`?"));
    // A wrong metric is said once.
    let wrong = said(GOOD, &[ON, "trainer.checkpoint={best: {metric: iuo}}"]);
    assert!(wrong.contains("did you mean `iou`") && !wrong.contains("early_stopping"), "{wrong}");
}
