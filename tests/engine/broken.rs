//! Samples that a stage can't work with: left out in order, named once, capped; and what ends a run all the same.

use std::sync::{Arc, Mutex};

use pipeline::contract::{Either, Event, Events, ItemContext, Join, Output, Result, Sequential, Source, StageError, StageKind};
use pipeline::engine::{Cap, Control, Report, RunError, SkipLedger};
use pipeline::graph::{Graph, Stage};
use serde_json::{Value, json};

use super::kinds::{self, Packet, Seen};
use super::{graph, run_with, seen_by, stage};

/// Sample, stage and epoch of what was reported as skipped.
type Names = Vec<(String, String, u64)>;

/// Keeps the samples that were reported as skipped.
#[derive(Default)]
struct Told(Mutex<Names>);

impl Events for Told {
    fn record(&self, event: Event) {
        let Event::SampleSkipped(skipped) = event else { panic!("{event:?}") };
        self.0.lock().unwrap().push((skipped.sample, skipped.stage, skipped.epoch));
    }
    fn summarize(&self, _: &str, _: Value) {}
}

fn ledger(at_most: u64, share: f64) -> SkipLedger {
    SkipLedger::new(Some(Cap { at_most, share }))
}

/// Runs and returns what was reported.
fn run(graph: Graph, epochs: u64, ledger: SkipLedger) -> (std::result::Result<Report, RunError>, Names) {
    let told = Arc::new(Told::default());
    let result = run_with(graph, epochs, 1 << 30, &Control::new(), ledger.into(), told.clone());
    let told = told.0.lock().unwrap().clone();
    (result, told)
}

/// Fails on some samples before it changes anything, or panics; on one with `spoilt` it says nothing of whose fault it is.
struct Picky;

impl Sequential for Picky {
    type In = Packet;
    type Out = Packet;
    fn item(&mut self, input: Packet, cx: &ItemContext<'_>, out: &mut Output<'_, Packet>) -> Result<()> {
        match cx.sample {
            "s2" => Err(StageError::new("too small").of_sample()),
            "s30" => Err(StageError::new("spoilt")),
            _ => out.emit(cx.sample, input),
        }
    }
}

fn picky() -> StageKind {
    StageKind::sequential("picky", "takes not all", |(): (), _| Ok(Picky))
}

/// The stages of a chain in which s1 fails in a map, s3 panics in another and s2 is refused by a sequential stage.
fn chain(seen: &Seen, samples: u64, workers: usize) -> Vec<Stage> {
    let mut stages = vec![
        stage("files", &kinds::count(), json!({"samples": samples, "bytes": 10}), &[]),
        stage("load", &kinds::mark(), json!({"delay_micros": 300, "fail": "s1"}), &["files"]),
        stage("augment", &kinds::mark(), json!({"delay_micros": 300, "panic": "s3"}), &["load"]),
        stage("picky", &picky(), json!(null), &["augment"]),
        stage("pack", &kinds::pack(), json!({"size": 4}), &["picky"]),
        stage("c", &kinds::collect(seen.clone()), json!({}), &["pack"]),
    ];
    stages[1].workers = Some(workers);
    stages
}

#[test]
fn broken_samples_are_left_out_in_order_and_told_of_once() {
    let outcome = |workers| {
        let seen = Seen::default();
        let (report, told) = run(graph(chain(&seen, 12, workers)), 3, ledger(3, 0.25));
        assert!(report.is_ok(), "{report:?}");
        (seen_by(&seen, "c"), told)
    };
    let (packs, mut told) = outcome(0);
    // Nine are left of twelve, in packs of four: the next one moves up.
    assert_eq!(packs.len(), 3 * 3);
    assert_eq!(packs[..3].iter().map(|pack| pack.split('+').count()).collect::<Vec<_>>(), [4, 4, 1]);
    for (sample, kept) in [("s0,", true), ("s1,", false), ("s2,", false), ("s3,", false), ("s4,", true)] {
        assert_eq!(packs[0].contains(&format!("e0{sample}")), kept, "{sample} in {}", packs[0]);
    }
    told.sort();
    let expected = [("s1", "load", 1), ("s2", "picky", 1), ("s3", "augment", 1)];
    assert_eq!(told, expected.map(|(sample, stage, epoch)| (sample.to_owned(), stage.to_owned(), epoch)));
    for workers in [1, 3] {
        let (again, mut told_again) = outcome(workers);
        told_again.sort();
        assert_eq!((again, told_again), (packs.clone(), told.clone()), "{workers} workers");
    }
}

#[test]
fn what_a_panic_left_is_said_to_be_the_stages_bug() {
    let skipped = Arc::new(ledger(9, 1.0));
    let events = Arc::new(Told::default());
    let graph = graph(chain(&Seen::default(), 12, 2));
    run_with(graph, 1, 1 << 30, &Control::new(), skipped.clone(), events).unwrap();
    let all = skipped.all();
    let error = |sample: &str| all.iter().find(|skipped| skipped.sample == sample).unwrap().error.clone();
    assert!(error("s3").contains("a bug in mark") && error("s3").contains("bug of the stage"), "{}", error("s3"));
    assert_eq!(error("s1"), "rubbish in the file");
}

#[test]
fn one_more_than_the_cap_ends_the_run() {
    for workers in [0, 2] {
        // 10% of 12 are 1.2, so two. This source doesn't say how many there are, so that is known when the epoch has ended.
        for (cap, word, count) in [(ledger(2, 1.0), "at_most is 2", 2), (ledger(9, 0.1), "3 of the 12 samples of files", 3)] {
            let (result, told) = run(graph(chain(&Seen::default(), 12, workers)), 1, cap);
            let error = result.unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
            // The last one of them is reported only if its epoch had not ended yet.
            assert!((2..=count).contains(&told.len()), "{}", told.len());
        }
    }
}

#[test]
fn a_stage_that_does_not_say_that_the_sample_is_at_fault_ends_the_run() {
    let (result, _) = run(graph(chain(&Seen::default(), 40, 2)), 1, ledger(9, 1.0));
    let error = result.unwrap_err();
    assert_eq!((error.stage.as_str(), error.sample.as_deref(), error.cause.message()), ("picky", Some("s30"), "spoilt"));
}

/// The same stage on the device's lane, where the run fails whatever is at fault.
#[test]
fn the_device_leaves_nothing_out() {
    let device = StageKind::device("picky_device", "takes not all", |(): (), _| Ok(Picky)).may_end();
    let stages = vec![
        stage("files", &kinds::count(), json!({"samples": 9, "bytes": 10}), &[]),
        stage("train", &device, json!(null), &["files"]),
    ];
    let (result, told) = run(graph(stages), 1, ledger(9, 1.0));
    assert_eq!((result.unwrap_err().sample.as_deref(), told.len()), (Some("s2"), 0));
}

#[test]
fn an_epoch_of_which_nothing_is_left_is_an_error() {
    for workers in [0, 2] {
        let mut stages = vec![
            stage("files", &kinds::count(), json!({"samples": 1, "bytes": 10}), &[]),
            stage("load", &kinds::mark(), json!({"delay_micros": 10, "fail": "s0"}), &["files"]),
            stage("c", &kinds::collect(Seen::default()), json!({}), &["load"]),
        ];
        stages[1].workers = Some(workers);
        let (result, told) = run(graph(stages), 1000, ledger(9, 1.0));
        let error = result.unwrap_err();
        assert!(error.to_string().contains("no sample is left of epoch 1"), "{error}");
        assert_eq!(told.len(), 1);
    }
}

/// A source of five samples, two of which it found broken.
struct Half;

impl Source for Half {
    type Out = Packet;
    fn samples(&self) -> Option<u64> {
        Some(3)
    }
    fn broken(&mut self) -> Vec<(Arc<str>, StageError)> {
        ["x", "y"].map(|sample| (sample.into(), StageError::new("no mask"))).into()
    }
    fn epoch(&mut self, _: u64, out: &mut Output<'_, Packet>) -> Result<()> {
        ["s0", "s1", "s2"].into_iter().try_for_each(|sample| out.emit(sample, Packet(sample.into(), 10)))
    }
}

fn half(seen: &Seen) -> Graph {
    let source = StageKind::source("half", "half of it is broken", |(): (), _| Ok(Half));
    graph(vec![stage("files", &source, json!(null), &[]), stage("c", &kinds::collect(seen.clone()), json!({}), &["files"])])
}

#[test]
fn what_a_source_finds_broken_counts_among_its_samples() {
    let seen = Seen::default();
    let (result, told) = run(half(&seen), 2, ledger(9, 0.4));
    assert!(result.is_ok(), "{result:?}");
    assert_eq!((told.len(), seen_by(&seen, "c").len()), (2, 6), "two of five are 40%");
    assert!(run(half(&seen), 2, ledger(9, 0.2)).0.unwrap_err().to_string().contains("2 of the 5 samples of files"));
    let failed = run(half(&seen), 2, SkipLedger::default()).0.unwrap_err();
    assert_eq!((failed.sample.as_deref(), failed.cause.message()), (Some("x"), "no mask"));
}

/// Samples that an earlier part of the run has skipped are neither reported nor counted again.
#[test]
fn a_resumed_run_knows_what_was_left_out() {
    let first = Arc::new(ledger(3, 1.0));
    let whole = |ledger: Arc<SkipLedger>| {
        let told = Arc::new(Told::default());
        let graph = graph(chain(&Seen::default(), 12, 2));
        run_with(graph, 1, 1 << 30, &Control::new(), ledger, told.clone()).unwrap();
        told.0.lock().unwrap().len()
    };
    assert_eq!(whole(first.clone()), 3);
    let second = Arc::new(ledger(3, 1.0).resumed(first.all(), 0));
    assert_eq!(whole(second.clone()), 0);
    assert_eq!(second.all(), first.all());
    // The last sample of an epoch that an earlier part began may be the broken one: nothing is left of it, and that's no error.
    let last = vec![
        stage("files", &kinds::count(), json!({"samples": 1, "bytes": 10}), &[]),
        stage("load", &kinds::mark(), json!({"delay_micros": 10, "fail": "s0"}), &["files"]),
        stage("c", &kinds::collect(Seen::default()), json!({}), &["load"]),
    ];
    assert!(run(graph(last), 1, ledger(9, 1.0).resumed(Vec::new(), 0)).0.is_ok());
}

/// A join alternates between the remaining items of its inputs.
#[test]
fn a_join_goes_on_with_what_is_left() {
    struct Pass;
    impl Sequential for Pass {
        type In = Either<Packet, Packet>;
        type Out = Packet;
        fn item(&mut self, input: Self::In, cx: &ItemContext<'_>, out: &mut Output<'_, Packet>) -> Result<()> {
            let (Either::First(packet) | Either::Second(packet)) = input;
            out.emit(cx.sample, packet)
        }
    }
    let join = StageKind::sequential("pass", "passes", |(): (), _| Ok(Pass)).join(Join::Zip);
    let seen = Seen::default();
    let stages = vec![
        stage("a", &kinds::count(), json!({"samples": 5, "bytes": 10}), &[]),
        stage("b", &kinds::count(), json!({"samples": 5, "bytes": 10}), &[]),
        stage("load", &kinds::mark(), json!({"delay_micros": 10, "fail": "s1"}), &["a"]),
        stage("join", &join, json!(null), &["load", "b"]),
        stage("c", &kinds::collect(seen.clone()), json!({}), &["join"]),
    ];
    assert!(run(graph(stages), 2, ledger(9, 1.0)).0.is_ok());
    assert_eq!(seen_by(&seen, "c").len(), 2 * 9);
}
