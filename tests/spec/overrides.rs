//! `--set KEY=VALUE`.

use super::{GOOD, load, rendered, resolved};
use serde_json::json;

#[test]
fn keys_of_blocks_and_of_stages_can_be_set() {
    let file = resolved(
        GOOD,
        &[
            "trainer.num_epochs=3",
            "seed=7",
            "dataset.FIVES.image_size=256",
            "stages.train.with.model={unet: {base: 4}}",
            "stages.optim.with.clip=1.5",
            "stages.test_decode.workers=2",
            "stages.clean.with.keep=1GiB",
            "trainer.device=cpu",
        ],
    );
    assert_eq!((&file["trainer"]["num_epochs"], &file["seed"]), (&json!(3), &json!(7)));
    assert_eq!(file["stages"][2]["with"]["size"], json!(256), "references see what was set");
    assert_eq!(file["stages"][5]["with"]["model"], json!({"unet": {"base": 4, "depth": 5, "norm": "group"}}));
    assert_eq!(file["stages"][7]["with"]["clip"], json!(1.5));
    assert_eq!(file["stages"][10]["workers"], json!(2));
    assert_eq!(file["stages"][8]["with"]["keep"], json!(1 << 30));
    assert_eq!(file["stages"][5]["with"]["device"], json!("cpu"));
}

#[test]
fn blocks_that_any_file_may_have_are_made() {
    let text = "stages:\n  - {id: files, use: fives}\n  - {id: decode, use: decode}\n  - {id: batch, use: batch}\n  - {id: train, use: train_step, with: {model: unet}}\n  - {id: optim, use: optimizer_step}\n  - {id: clean, use: cleanup}\n";
    let file = resolved(text, &["trainer.num_epochs=1", "stages.files.with.root=${dataset.root}", "dataset.root=data"]);
    assert_eq!(file["stages"][0]["with"]["root"], json!("data"));
    // A name that differs in what people can't see is never another one.
    let said = rendered(&load(text, &["trainer.num_epochs=1", "trainer.num_e\u{440}ochs=3", "stages.files.with.root=a"]));
    assert!(said.contains("error: nothing reads") && said.contains("U+0440"), "{said}");
    let set =
        ["trainer.num_epochs=1", "trainer.checkpoint.every_steps=5", "on_error.skip.share=0.5", "stages.files.with.root=a"];
    let file = resolved(text, &set);
    assert_eq!((&file["trainer"]["checkpoint"]["every_steps"], &file["on_error"]["skip"]["share"]), (&json!(5), &json!(0.5)));
}

#[test]
fn what_is_wrong_with_an_override_is_shown_in_it() {
    let wrong = [
        "trainer.num_epochs",
        "trainer.num_epochs=many",
        "trainr.num_epochs=3",
        "dataset.FIVSE.image_size=3",
        "name.first=x",
        "stages.resise.with.size=3",
        "stages.resize.size=3",
        "stages.resize=3",
        "stages.augment.with.flip={",
        "trainer.mixed_precison=fp16",
        "trainer.=3",
        "stages.train.with.model.unet.base=\"${trainer.base}\"",
        "=",
        "",
    ];
    insta::assert_snapshot!(rendered(&load(GOOD, &wrong)));
}
