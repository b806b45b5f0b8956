//! References, defaults and the resolved file.

use super::{GOOD, load, rendered, resolved};
use pipeline::spec;
use serde_json::{Value, json};

/// The resolved options of the first stage, with these lines under `dataset:`.
fn root_of(dataset: &str, root: &str) -> Value {
    let text =
        GOOD.replace("dataset:\n", &format!("dataset:\n{dataset}")).replace("\"${dataset.FIVES.data_root}/train\"", root);
    resolved(&text, &[])["stages"][0]["with"]["root"].clone()
}

#[test]
fn a_reference_keeps_the_type_of_its_value() {
    let file = resolved(GOOD, &[]);
    assert_eq!(file["stages"][2]["with"]["size"], json!(1024));
    assert_eq!(file["stages"][1]["workers"], json!(4));
    assert_eq!(file["stages"][0]["with"]["root"], json!("data/FIVES/train"));
}

#[test]
fn references_inside_text_are_text() {
    assert_eq!(root_of("  a: 4\n", "\"${dataset.a}${ dataset.a }x\""), json!("44x"));
    assert_eq!(root_of("  a: 0.5\n  b: yes\n", "\"${dataset.a}/${dataset.b}/${seed}/${name}\""), json!("0.5/yes/42/fives"));
    assert_eq!(root_of("  a: ${dataset.b}\n  b: ${dataset.c}!\n  c: deep\n", "\"${dataset.a}\""), json!("deep!"));
}

#[test]
fn an_escaped_reference_stays_text_also_when_it_is_read_again() {
    assert_eq!(root_of("", "\"$${seed}/${seed}\""), json!("$${seed}/42"), "escaped in the resolved file");
    let text = GOOD.replace("\"${dataset.FIVES.data_root}/train\"", "\"$${seed}/${seed}\"");
    let pipeline = load(&text, &[]).pipeline.unwrap();
    assert_eq!(pipeline.graph.stage(pipeline.graph.order[0]).options["root"], json!("${seed}/42"), "plain for the stage");
}

#[test]
fn a_reference_can_fill_in_lists_and_maps() {
    let text = GOOD
        .replace("trainer:\n", "  model: {unet: {base: 8}}\ntrainer:\n")
        .replace("{unet: {base: 16}}", "\"${dataset.model}\"");
    assert_eq!(resolved(&text, &[])["stages"][5]["with"]["model"]["unet"]["base"], json!(8));
}

#[test]
fn anchors_and_merge_keys_are_yaml() {
    let text = GOOD
        .replace("with: {flip: true, brightness: 0.2}", "with: &soft {flip: true, brightness: 0.1}")
        .replace("  - {id: batch, ", "  - {id: more, use: augment, with: {<<: *soft, brightness: 0.3}}\n  - {id: batch, ");
    let file = resolved(&text, &[]);
    assert_eq!(file["stages"][4]["with"], json!({"flip": true, "brightness": 0.3}));
}

#[test]
fn a_map_keeps_its_order_and_its_names() {
    let names = ["zoom", "flip", "7"];
    let text = GOOD.replace("with: {flip: true, brightness: 0.2}", "with: {shares: {zoom: 0.5, flip: always, 7: 0.25}}");
    let file = resolved(&text, &[]);
    let again = resolved(&spec::to_yaml(&file), &[]);
    for file in [&file, &again] {
        let shares = file["stages"][3]["with"]["shares"].as_object().unwrap();
        assert_eq!(shares.keys().collect::<Vec<_>>(), names);
    }
    assert_eq!(file, again);
}

#[test]
fn a_key_of_the_file_is_the_default_of_an_option() {
    let with = |overrides: &[&str]| resolved(GOOD, overrides)["stages"][5]["with"].clone();
    assert_eq!(with(&[])["precision"], json!("no"), "unquoted `no` is text");
    assert_eq!(with(&["trainer.mixed_precision=bf16"])["precision"], json!("bf16"));
    let without = GOOD.replace("  mixed_precision: no ", "  #");
    assert_eq!(resolved(&without, &[])["stages"][5]["with"]["precision"], json!("no"));
    let own = GOOD.replace("loss: bce_dice", "precision: fp16");
    assert!(
        rendered(&load(&own, &[])).contains("a stage of kind `train_step` reads it, where its own `precision` isn't given")
    );
}

#[test]
fn the_resolved_file_is_the_same_when_it_is_read_again() {
    let once = resolved(GOOD, &["stages.train.with.loss=dice", "trainer.note=$${x} ${seed}"]);
    let yaml = spec::to_yaml(&once);
    assert_eq!(resolved(&yaml, &[]), once);
    insta::assert_snapshot!(yaml);
}

#[test]
fn texts_that_look_like_other_things_survive_the_resolved_file() {
    let odd = [
        "no", "1e3", "0x10", "007", "1_000", "~", "null", "", " x ", "- a", "a: b", "# x", "*x", "&x", "!x", "%x", "a\nb\n",
        "\t", "é\u{7f}", "${x}", ".inf", "true",
    ];
    let value = json!({"dataset": {"odd": odd}});
    let read: Value = serde_saphyr::from_str(&spec::to_yaml(&value)).unwrap();
    assert_eq!(read, value);
}
