//! Lines of `metrics.jsonl` as the first version of the format has them: each is read into its event and written again, byte for
//! byte. Other programs read these names.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use pipeline_contract::Event;
use pipeline_contract::events::{EvalEvent, Fields, Line, OwnEvent, ResumeEvent, StepEvent};
use serde_json::json;

/// A line of each event, as runs have written them.
const LINES: [&str; 17] = [
    r#"{"event":"start","seconds":0.001,"format":1,"name":"quickstart","version":"0.1.0"}"#,
    r#"{"event":"resume","seconds":3.5,"step":12,"resumes":1,"format":1}"#,
    r#"{"event":"plan","seconds":0.005629,"device_planned_peak":16653200,"device_peak_place":"head backward","device_peak_by_cause":{"weights":118500,"saved_activations":13721600},"host_planned_peak":3993600,"host_by_cause":{"queue augment -> batch (4 items)":409600,"window":0}}"#,
    r#"{"event":"step","seconds":0.23127,"epoch":1,"step":1,"samples":4,"loss":1.6203927397727966,"lr":0.004,"grad_norm":null,"loss_scale":1.0,"skipped":false,"device_bytes":487424,"device_bytes_peak":null,"device_by_cause":{"weights":118500},"device_peak_by_cause":{"weights":118500,"batch":614400},"device_peak_place":"head backward","host_bytes":3072000,"host_bytes_peak":3481600,"host_by_cause":{"queue batch -> train":614400,"in work":2457600}}"#,
    r#"{"event":"epoch","seconds":1.227419,"epoch":1,"loss":null,"seconds_in_epoch":1.25,"samples_per_second":52.5}"#,
    r#"{"event":"eval","seconds":1.300942,"epoch":1,"dice":0.5,"dice_pooled":0.25,"iou":0.75,"sensitivity":0.875,"specificity":null,"accuracy":0.125,"auc":0.9375,"images":8,"device_bytes_peak":16666624}"#,
    r#"{"event":"image","seconds":1.300001,"epoch":1,"stage":"test","sample":"test/3_G","height":2048,"width":2048,"field_of_view":true,"metrics":{"dice":0.5,"hausdorff95":null}}"#,
    r#"{"event":"predicted","seconds":2.5,"sample":"17_A","height":2048,"width":2048}"#,
    r#"{"event":"retry","seconds":0.145701,"epoch":1,"what":"out of device memory","place":"down.1 backward","device_bytes":1449416,"asked":131072,"samples":2,"from":{"micro_batch":2,"mixed_precision":"no","gradient_checkpointing":"none"},"to":{"micro_batch":2,"mixed_precision":"no","gradient_checkpointing":"full"},"device_planned_peak":2599824}"#,
    r#"{"event":"not_finite","seconds":0.2,"epoch":1,"step":2,"samples":["a","b"],"losses":[1.5,null],"not_finite":["b"],"blocks":[{"name":"images","rms":0.5},{"name":"down.0","rms":null}]}"#,
    r#"{"event":"cleanup","seconds":1.227949,"when":"epoch_end","returned_bytes":3141632,"held_bytes":null}"#,
    r#"{"event":"checkpoint","seconds":1.344505,"file":"000001-step-16.safetensors","step":16,"bytes":378452,"copy_seconds":0.25,"write_seconds":0.5}"#,
    r#"{"event":"sample_skipped","seconds":0.5,"sample":"train/3_G","stage":"decode","source":"files","error":"the photograph is black","epoch":1}"#,
    r#"{"event":"warning","seconds":0.5,"stage":"decode","kind":"mask_share","subject":"masks/3_G.png","message":"61% of the mask masks/3_G.png is vessel"}"#,
    r#"{"event":"leaks","seconds":0.01,"leaks":[{"source":"files","sample":"train/17_A","other_source":"test_files","other_sample":"test/3_A","same":"mask"}]}"#,
    r#"{"event":"stall","seconds":300.5,"quiet_seconds":300.0,"report":"no queue is full"}"#,
    r#"{"event":"end","seconds":12.332703,"status":"complete"}"#,
];

#[test]
fn every_event_is_read_and_written_byte_for_byte() {
    let mut names = Vec::new();
    for text in LINES {
        let line: Line = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&line).unwrap(), text);
        assert!(!matches!(line.event, Event::Own(_)), "{text}");
        names.push(line.event.name().to_owned());
    }
    assert_eq!(names, Event::NAMES, "a line of each event");
}

/// Each evaluator of a file says which one it is; a metric of one's own may be named like that.
#[test]
fn an_evaluation_says_its_stage_and_its_part() {
    let text = r#"{"event":"eval","seconds":1.5,"epoch":1,"stage":"validate","part":"validation","dice":0.5,"images":8,"device_bytes_peak":null}"#;
    let line: Line = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&line).unwrap(), text);
    let eval = line.evaluation().unwrap();
    assert_eq!((eval.stage.as_str(), eval.part.as_deref(), eval.metric("dice")), ("validate", Some("validation"), Some(0.5)));
    let text = r#"{"event":"eval","seconds":1.5,"epoch":1,"part":0.5,"images":8,"device_bytes_peak":null}"#;
    let line: Line = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&line).unwrap(), text);
    let eval = line.evaluation().unwrap();
    assert_eq!((eval.stage.as_str(), eval.part.as_deref(), eval.metric("part")), ("", None, Some(0.5)));
}

/// The evaluation of a network with several classes, and a metric of one's own that is named like its field.
#[test]
fn an_evaluation_may_have_figures_of_each_class() {
    for (text, classes) in [
        (
            r#"{"event":"eval","seconds":1.5,"epoch":1,"dice":0.5,"auc":null,"classes":{"vein":{"dice":0.25,"iou":null},"artery":{"dice":0.75,"iou":0.5}},"images":8,"device_bytes_peak":null}"#,
            vec!["vein", "artery"],
        ),
        (
            r#"{"event":"eval","seconds":1.5,"epoch":1,"dice":0.5,"intervals":{"dice":[0.25,0.75]},"images":8,"both_empty":1,"at":"native","threshold":0.5,"chosen_threshold":0.37,"chosen_dice":0.625,"device_bytes_peak":null}"#,
            vec![],
        ),
        (r#"{"event":"eval","seconds":1.5,"epoch":1,"classes":0.5,"images":8,"device_bytes_peak":null}"#, vec![]),
    ] {
        let line: Line = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&line).unwrap(), text);
        let Event::Eval(eval) = &line.event else { panic!("{text}") };
        assert_eq!(eval.classes.iter().map(|(name, _)| name).collect::<Vec<_>>(), classes);
    }
}

#[test]
fn what_a_reader_does_not_know_is_passed_over_and_what_is_missing_is_named() {
    let line: Line = serde_json::from_str(r#"{"event":"end","seconds":1.0,"status":"failed","weather":"rain"}"#).unwrap();
    assert_eq!(serde_json::to_string(&line).unwrap(), r#"{"event":"end","seconds":1.0,"status":"failed"}"#);
    for (text, said) in [
        (r#"{"event":"end","seconds":1.0}"#, "no event `end`: missing field `status`"),
        (r#"{"event":"end","seconds":1.0,"status":"asleep"}"#, "unknown variant `asleep`"),
        (r#"{"event":"eval","seconds":1.0,"epoch":1,"dice":0.5,"device_bytes_peak":null}"#, "missing field `images`"),
        (r#"{"event":"eval","seconds":1.0,"epoch":1,"dice":"good","images":1,"device_bytes_peak":null}"#, "invalid type"),
        (r#"{"seconds":1.0}"#, "missing field `event`"),
        (r#"{"event":"end","seconds":"1","status":"failed"}"#, "the time isn't a number"),
        (r#"{"event":3,"seconds":1.0}"#, "the event's name isn't text"),
    ] {
        let error = serde_json::from_str::<Line>(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
}

/// Runs wrote these before figures said their format.
#[test]
fn lines_of_earlier_programs_are_read() {
    let line: Line = serde_json::from_str(r#"{"event":"resume","seconds":3.5,"step":12,"resumes":1}"#).unwrap();
    assert_eq!(line.event, ResumeEvent { step: 12, resumes: 1, format: 1 }.into());
    let step = LINES[3].split(r#","host_bytes""#).next().unwrap().to_owned() + "}";
    let Line { event: Event::Step(step), .. } = serde_json::from_str(&step).unwrap() else { panic!() };
    assert_eq!((step.host_bytes, step.host_by_cause), (None, None));
}

#[test]
fn a_stage_of_ones_own_records_an_event_of_its_own() {
    let fields: Fields = json!({"zeta": 1, "alpha": [2], "mean": 0.5}).as_object().unwrap().clone();
    let event: Event = OwnEvent::new("teacher", fields.clone()).unwrap().into();
    let line = Line { seconds: 1.5, event: event.clone() };
    let text = r#"{"event":"teacher","seconds":1.5,"zeta":1,"alpha":[2],"mean":0.5}"#;
    assert_eq!(serde_json::to_string(&line).unwrap(), text);
    assert_eq!(serde_json::from_str::<Line>(text).unwrap(), line);
    assert_eq!((event.name(), event.fields()), ("teacher", fields));
    // It can't pass for one of the program's own, nor for another time.
    assert!(OwnEvent::new("step", Fields::new()).unwrap_err().message().contains("`step`"));
    for field in ["event", "seconds"] {
        let fields = Fields::from_iter([(field.to_owned(), json!(1))]);
        assert!(OwnEvent::new("teacher", fields).unwrap_err().message().contains(field));
    }
}

#[test]
fn numbers_that_json_has_not_are_null() {
    let step = StepEvent { loss: Some(f64::NAN), ..StepEvent::default() };
    assert!(Event::from(step).fields()["loss"].is_null());
    let metrics = [("dice", Some(0.5)), ("auc", Some(f64::NAN)), ("iou", None)].into_iter().collect();
    let eval = EvalEvent { epoch: 1, metrics, images: 2, ..EvalEvent::default() };
    assert_eq!(["dice", "auc", "iou", "hausdorff"].map(|name| eval.metric(name)), [Some(0.5), None, None, None]);
    assert_eq!(Event::from(eval).fields().get("auc"), Some(&json!(null)));
}
