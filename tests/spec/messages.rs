//! Mistakes that a message about YAML or about names would hide: characters that look alike, paths of Windows and of shells, decimal
//! commas, numbers that are too large; and uses of YAML that are no mistakes.

use std::path::Path;

use super::{rendered, resolved};
use pipeline::spec::{self, Loaded};

/// A file that runs, with the program's own kinds.
const PLAIN: &str = "name: y
seed: 1
trainer: {device: cpu, num_epochs: 1, checkpoint: {keep: 0}}
stages:
  - {id: eyes, use: fives, with: {root: data/FIVES}}
  - {id: decode, use: decode}
  - {id: batch, use: batch}
  - {id: train, use: train_step, with: {model: {unet: {base: 4, depth: 2}}}}
  - {id: accum, use: accumulate, with: {steps: 1}}
  - {id: optim, use: optimizer_step, with: {sgd: {lr: 0.01}}}
  - {id: clean, use: cleanup}
";

fn read(text: &str) -> Loaded {
    spec::load_text("y.yml", text.to_owned(), &[], &pipeline::builtin())
}

/// What is said of the plain file with one change.
fn changed(right: &str, wrong: &str) -> String {
    let text = PLAIN.replacen(right, wrong, 1);
    assert_ne!(text, PLAIN, "{right}");
    rendered(&read(&text))
}

/// Each change makes exactly one problem, and these words are in it.
#[track_caller]
fn says(right: &str, wrong: &str, words: &[&str]) {
    let shown = changed(right, wrong);
    for word in words {
        assert!(shown.contains(word), "{word} isn't in\n{shown}");
    }
    assert!(shown.ends_with("1 error in y.yml"), "{shown}");
}

#[test]
fn the_plain_file_has_no_problems() {
    assert_eq!(rendered(&read(PLAIN)), "no problems in y.yml");
}

#[test]
fn messages_of_these_mistakes() {
    let mistakes = [
        ("seed: 1", "seed:\u{a0}1"),
        ("num_epochs", "num_\u{200b}epochs"),
        ("seed", "s\u{435}ed"),
        ("data/FIVES", r#""C:\Users\me\data\FIVES""#),
        ("data/FIVES", r#""D:\train\new""#),
        ("seed: 1", "seed: 18446744073709551615"),
        ("lr: 0.01", "lr: 0,001"),
        ("  - {id: accum, use: accumulate, with: {steps: 1}}\n", ""),
        ("data/FIVES", "~/data/FIVES"),
        ("data/FIVES", "$HOME/data"),
        ("data/FIVES", "\"${HOME}/data\""),
        ("root: data/FIVES", "root: \"\u{202a}data/FIVES\""),
    ];
    let shown: Vec<String> = mistakes.into_iter().map(|(right, wrong)| changed(right, wrong)).collect();
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn characters_that_look_like_others_are_named_wherever_a_name_is_expected() {
    for (right, wrong, code) in [
        ("seed: 1", "seed\u{ff1a}1", "U+FF1A"),
        ("  - {id: decode", "\u{a0} - {id: decode", "U+00A0"),
        ("use: decode", "use: dec\u{43e}de", "U+043E"),
        ("use: decode", "use: decode\u{a0}", "U+00A0"),
        ("id: batch, use", "id: batch, us\u{435}", "U+0435"),
        ("steps: 1", "st\u{435}ps: 1", "U+0435"),
        ("unet:", "un\u{435}t:", "U+0435"),
        ("lr: 0.01", "lr: \u{2212}0.01", "U+2212"),
        ("checkpoint: {keep", "checkpoint: {k\u{435}ep", "U+0435"),
        ("use: fives, with: {", "use: fives, with: {split: \u{201c}train\u{201d}, ", "U+201C"),
    ] {
        says(right, wrong, &[code]);
    }
    // Names of any alphabet are names.
    let own =
        PLAIN.replace("seed: 1", "seed: 1\ndataset: {größe: 1, размер: 1}").replace("steps: 1", "steps: \"${dataset.размер}\"");
    let own = own.replace("keep: 0", "keep: \"${dataset.größe}\"");
    assert_eq!(rendered(&read(&own)), "no problems in y.yml");
}

#[test]
fn numbers_are_told_what_is_wrong_with_them() {
    let largest = "the largest number is 9223372036854775807";
    says("seed: 1", "seed: 9223372036854775808", &[largest]);
    says("seed: 1", "seed: 99999999999999999999999", &[largest]);
    says("seed: 1", "seed: 1e30", &[largest]);
    says("device: cpu", "device: cpu, memory_budget: 9223372036854775808", &[largest]);
    says(
        "device: cpu",
        "device: cpu, memory_budget: 16",
        &["`trainer.memory_budget` is 16 bytes: its unit is missing", "write `16GiB`"],
    );
    says("device: cpu", "device: cpu, memory_budget: 16Gi", &["did you mean `16GiB`?"]);
    says("num_epochs: 1", "num_epochs: \"1,000\"", &["write it without commas: `1000`"]);
    says("lr: 0.01", "lr: 0, 001", &["inside {...} the comma ends the value of `lr`", "write `0.001`"]);
    let mean = "decode, use: decode}\n  - {id: normalize, use: normalize, with: {mean: [0,5, 0,5, 0,5]}}";
    says("decode, use: decode}", mean, &["the decimal mark is a point: write `[0.5, 0.5, 0.5]`"]);
    says("device: cpu", "device: cpuu", &["there is no device named \"cpuu\"", "one of auto, cpu"]);
    says("steps: 1", "steps: 1,5", &["inside {...} the comma ends the value of `steps`", "write `1.5`"]);
    let block = PLAIN.replace("with: {sgd: {lr: 0.01}}}", "with:\n      sgd:\n        lr: 0,001\n    }").replace("    }", "");
    let block =
        block.replace("  - {id: optim, use: optimizer_step, with:", "  - id: optim\n    use: optimizer_step\n    with:");
    assert!(rendered(&read(&block)).contains("the decimal mark is a point: write `0.001`"), "{}", rendered(&read(&block)));
}

#[test]
fn paths_that_mean_something_else_are_refused_and_odd_ones_are_not() {
    says("data/FIVES", r#""D:\new""#, &[r"has a line end in its path `D:\new`", "use 'single quotes'"]);
    says("data/FIVES", r#""D:\xyz""#, &["use 'single quotes', or `\\\\`"]);
    says("data/FIVES", "~me/data", &["`~me`, which isn't expanded", "`./~me`"]);
    says("data/FIVES", "'%USERPROFILE%\\data'", &["`%USERPROFILE%`, which isn't expanded"]);
    for path in [r"'D:\train\new'", r#""D:\\train\\new""#, "./~/data", "data/$x", "'C:/Users/me'", "caf\u{e9}/\u{202f}x"] {
        assert_eq!(changed("data/FIVES", path), "no problems in y.yml", "{path}");
    }
}

#[test]
fn a_null_is_read_as_the_default() {
    let null = changed("num_epochs: 1", "num_epochs: 1, mixed_precision: null, memory_budget: null");
    assert_eq!(null, "no problems in y.yml");
    let both = PLAIN
        .replace("num_epochs: 1", "num_epochs: 1, mixed_precision: null")
        .replace("{model", "{mixed_precision: bf16, model");
    assert!(rendered(&read(&both)).contains("where its own `mixed_precision` isn't given"), "{}", rendered(&read(&both)));
}

#[test]
fn what_an_anchor_marks_is_read_where_it_is_repeated() {
    let merged = changed(
        "trainer: {device: cpu, num_epochs: 1, ",
        "dataset: {base: &b {device: cpu, num_epochs: 1}}\ntrainer: {<<: *b, ",
    );
    assert_eq!(merged, "no problems in y.yml");
    let options = PLAIN
        .replace("trainer:", "dataset: {rule: &rule {sgd: {lr: 0.01}}, steps: &steps 1, list: &list [1, 2]}\ntrainer:")
        .replace("with: {sgd: {lr: 0.01}}", "with: *rule")
        .replace("{steps: 1}", "{steps: *steps}");
    let shown = rendered(&read(&options));
    assert!(shown.contains("nothing reads `dataset.list`") && shown.ends_with("1 warning in y.yml"), "{shown}");
    // What the merge leaves out isn't read.
    let shown = changed("trainer: {device: cpu, ", "dataset: {base: &b {device: cpu, lr: 1}}\ntrainer: {<<: *b, device: cpu, ");
    assert!(shown.contains("nothing reads `dataset.base.device`"), "{shown}");
}

#[test]
fn keys_that_begin_with_x_are_the_authors_own() {
    let own = "x-common: &b {device: cpu, num_epochs: 1}\nx-seed: 7\nx-list: [1, {use: nothing}]\ntrainer: {<<: *b, ";
    let text = PLAIN.replace("trainer: {device: cpu, num_epochs: 1, ", own);
    let loaded = read(&text);
    assert_eq!(rendered(&loaded), "no problems in y.yml");
    let plain = read(PLAIN).pipeline.map(|pipeline| pipeline.resolved);
    assert_eq!(loaded.pipeline.map(|pipeline| pipeline.resolved), plain, "nothing else is run");
    let schema = pipeline::schema::schema(&pipeline::builtin());
    assert!(schema["patternProperties"]["^x-"].is_object());
    assert!(resolved(super::GOOD, &[]).get("x-common").is_none());
}

#[test]
fn files_that_users_reported() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/bugs/yaml_messages");
    if !folder.exists() {
        return eprintln!("skipped: no folder {}", folder.display());
    }
    for (name, words) in [
        ("anchors", "no problems"),
        ("comma", "write `0.001`"),
        ("cyrillic", "U+0435, a Cyrillic letter"),
        ("env", "`$HOME`, which isn't expanded"),
        ("nbsp", "U+00A0, a no-break space"),
        ("no_accumulate", "put a stage of kind `accumulate` between"),
        ("null", "no problems"),
        ("seed", "the largest number is 9223372036854775807"),
        ("tilde", "`~`, which isn't expanded"),
        ("windows_U", "use 'single quotes'"),
        ("windows_t", r"`D:\train\new`"),
        ("zwsp", "U+200B, a zero-width space"),
    ] {
        let loaded = spec::load(&folder.join(format!("{name}.yml")), &[], &pipeline::builtin());
        let shown = rendered(&loaded);
        assert!(shown.contains(words), "{name}: {shown}");
    }
}
