//! `trainer.checkpoint.best`: which metric an evaluation is the best by.

use super::{GOOD, load, rendered, resolved};
use pipeline::contract::Direction;
use pipeline::spec::Best;

fn set(best: &str) -> String {
    format!("trainer.checkpoint={{best: {best}}}")
}

fn chosen(best: &str) -> Option<(String, Direction)> {
    let loaded = load(GOOD, &[&set(best)]);
    let what = rendered(&loaded);
    let best = loaded.pipeline.unwrap_or_else(|| panic!("{what}")).settings.checkpoints.best;
    best.map(|Best { metric, direction, of }| {
        assert_eq!(of.as_deref(), Some("evaluate"));
        (metric, direction)
    })
}

fn said(best: &str) -> String {
    let loaded = load(GOOD, &[&set(best)]);
    assert!(loaded.pipeline.is_none(), "{best} is taken");
    rendered(&loaded)
}

#[test]
fn the_metric_and_its_direction_are_the_evaluators_unless_the_file_says_otherwise() {
    let metric = |name: &str, direction| Some((name.to_owned(), direction));
    assert_eq!(chosen("true"), metric("dice", Direction::Max));
    assert_eq!(chosen("{metric: iou}"), metric("iou", Direction::Max));
    assert_eq!(chosen("{metric: hd95}"), metric("hd95", Direction::Min));
    assert_eq!(chosen("{metric: iou, direction: min}"), metric("iou", Direction::Min));
    assert_eq!(chosen("false"), None);
}

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    for (best, words) in [
        (
            "{metric: iuo}",
            &["must be a metric of the evaluation, found `iuo`", "did you mean `iou`? the evaluation gives dice, iou, hd95"][..],
        ),
        ("{metric: recall}", &["found `recall`", "the evaluation gives dice, iou, hd95"]),
        ("{metrc: iou}", &["has no option `metrc`", "did you mean `metric`?"]),
        ("{direction: max}", &["needs `metric`"]),
        ("{metric: iou, direction: maxx}", &["must be one of max, min, found the text `maxx`", "did you mean `max`?"]),
        ("{metric: iou, of: evaluat}", &["names `evaluat`, which is no evaluator", "did you mean `evaluate`?"]),
        ("{metric: iou, of: batch}", &["names `batch`, which is no evaluator", "the evaluators are: evaluate"]),
        ("iou", &["`trainer.checkpoint.best` must be true or false, or options metric, direction, of"]),
    ] {
        let said = said(best);
        words.iter().for_each(|words| assert!(said.contains(words), "{best}: {words}\n{said}"));
    }
}

#[test]
fn without_an_evaluator_there_is_no_best() {
    let without = GOOD.split("  - {id: test_files").next().unwrap();
    let best = |best: &str| load(without, &[&set(best)]);
    assert_eq!(best("true").pipeline.unwrap().settings.checkpoints.best, None);
    let said = rendered(&best("{metric: iou}"));
    assert!(said.contains("names `iou`, but no stage of this file measures anything"), "{said}");
    // A stage of a kind that isn't known might measure it; that is another problem, said once.
    let said = rendered(&load(&GOOD.replace("use: evaluate", "use: evaluat"), &[&set("{metric: iou}")]));
    assert!(said.contains("evaluat") && !said.contains("measures"), "{said}");
}

/// The file with another evaluator, `validate`, below its own; the second source and the first of the test parts as given.
fn two(test: &str, validation: &str) -> String {
    let test = if test.is_empty() { String::new() } else { format!(", part: {test}") };
    let validation = if validation.is_empty() { String::new() } else { format!(", part: {validation}") };
    GOOD.replace("split: test}", &format!("split: test{test}}}"))
        + &format!(
            "  - {{id: held_files, use: fives, with: {{root: data, split: test{validation}}}}}
  - {{id: held_decode, use: decode}}
  - {{id: held_resize, use: resize, with: {{size: 64}}}}
  - {{id: held_batch, use: batch}}
  - {{id: validate, use: evaluate, needs: [clean, held_batch]}}\n"
        )
}

#[test]
fn it_goes_by_the_validation_part_or_by_the_evaluator_that_the_file_names() {
    let of = |text: &str, best: &str| {
        let loaded = load(text, &[&set(best)]);
        let (said, pipeline) = (rendered(&loaded), loaded.pipeline);
        let best = pipeline.unwrap_or_else(|| panic!("{said}")).settings.checkpoints.best;
        (best.and_then(|best| best.of), said.contains("the best checkpoint is chosen on the test part"))
    };
    let (validate, evaluate) = (Some("validate".to_owned()), Some("evaluate".to_owned()));
    assert_eq!(of(&two("test", "validation"), "true"), (validate.clone(), false));
    assert_eq!(of(&two("", "validation"), "{metric: iou}"), (validate.clone(), false));
    assert_eq!(of(&two("", ""), "true"), (evaluate.clone(), false), "the first of the file");
    assert_eq!(of(&two("", ""), "{metric: iou, of: validate}"), (validate, false));
    // The figure of a checkpoint that was chosen on the test part is too good; whoever names it knows.
    assert_eq!(of(&two("test", "train"), "true"), (evaluate.clone(), true));
    assert_eq!(of(&two("test", "validation"), "{metric: dice, of: evaluate}"), (evaluate, false));
    assert_eq!(of(&two("test", ""), "false"), (None, false));
}

#[test]
fn the_resolved_file_means_the_same() {
    let file = resolved(GOOD, &[&set("{metric: hd95}")]);
    assert_eq!(file["trainer"]["checkpoint"]["best"], serde_json::json!({"metric": "hd95"}));
    let again = load(&pipeline::spec::to_yaml(&file), &[]).pipeline.unwrap();
    let best = again.settings.checkpoints.best.unwrap();
    assert_eq!((best.metric.as_str(), best.direction), ("hd95", Direction::Min));
}
