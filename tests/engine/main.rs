//! The engine through its public interface: order, determinism, bounds, joins, failures, on fixed and on random graphs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod broken;
mod cut;
mod ending;
mod idle;
mod kinds;
mod random;
mod sides;
mod stalls;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use kinds::Seen;
use pipeline::contract::{End, Events, NoEvents, StageKind};
use pipeline::engine::{Control, Keeper, Moment, Patience, Report, RunError, RunOptions, SkipLedger, Snapshot, run};
use pipeline::graph::{Bound, Graph, Stage, build};
use serde_json::{Value, json};

/// A stage for tests.
pub fn stage(id: &str, kind: &StageKind, options: Value, needs: &[&str]) -> Stage {
    let needs = needs.iter().map(ToString::to_string).collect();
    Stage { id: id.into(), kind: kind.clone(), options, needs, workers: None, bound: None }
}

/// Builds a graph that has no problems.
pub fn graph(stages: Vec<Stage>) -> Graph {
    let (graph, problems) = build(stages);
    assert!(problems.is_empty(), "{problems:?}");
    graph.unwrap()
}

/// What runs of tests have in common.
pub fn options(epochs: u64, host_memory_budget: u64) -> RunOptions {
    RunOptions {
        pipeline: pipeline_contract::PipelineId::default(),
        epochs,
        seed: 7,
        host_memory_budget,
        out: PathBuf::from("unused"),
        events: Arc::new(NoEvents),
        keeper: None,
        resume: None,
        strict: false,
        skipped: Arc::default(),
        patience: Patience::default(),
        lost: || None,
    }
}

/// Runs a graph; fails if it locks up.
pub fn run_to_end(graph: Graph, epochs: u64, budget: u64, control: &Control) -> Result<Report, RunError> {
    run_by(graph, options(epochs, budget), control)
}

/// The same, with a ledger of skipped samples, and a receiver of its reports.
pub fn run_with(
    graph: Graph,
    epochs: u64,
    budget: u64,
    control: &Control,
    skipped: Arc<SkipLedger>,
    events: Arc<dyn Events>,
) -> Result<Report, RunError> {
    run_by(graph, RunOptions { skipped, events, ..options(epochs, budget) }, control)
}

/// Keeps every snapshot.
#[derive(Default)]
pub struct Kept(pub Mutex<Vec<Snapshot>>);

impl Keeper for Kept {
    fn due(&self, _: Moment) -> bool {
        true
    }
    fn keep(&self, snapshot: Snapshot, _: Moment, _: f64) -> pipeline::contract::Result<()> {
        self.0.lock().unwrap().push(snapshot);
        Ok(())
    }
}

/// Runs a graph whose device's lane is saved after every item, from the beginning or from a snapshot.
pub fn run_saved(graph: Graph, epochs: u64, kept: Arc<Kept>, resume: Option<Snapshot>) -> Result<Report, RunError> {
    let resume = resume.map(|snapshot| Arc::new(Mutex::new(snapshot)));
    run_by(graph, RunOptions { keeper: Some(kept), resume, ..options(epochs, ROOMY) }, &Control::new())
}

/// Runs a graph under these options; fails if it locks up.
pub fn run_by(graph: Graph, options: RunOptions, control: &Control) -> Result<Report, RunError> {
    let (sender, receiver) = mpsc::channel();
    let control = control.clone();
    let names: Vec<_> = graph.lanes.iter().map(|lane| lane.name.clone()).collect();
    std::thread::spawn(move || sender.send(run(&graph, options, &control)));
    receiver.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("the lanes {names:?} locked up"))
}

/// What a sink saw, without its end.
pub fn seen_by(seen: &Seen, sink: &str) -> Vec<String> {
    seen.lock()
        .unwrap()
        .iter()
        .filter(|(stage, epoch, _)| stage == sink && *epoch != u64::MAX)
        .map(|(_, _, text)| text.clone())
        .collect()
}

/// A budget that nothing fills.
pub const ROOMY: u64 = 1 << 30;

#[test]
fn order_is_restored_whatever_the_workers_and_bounds() {
    let outcome = |workers, items| {
        let seen = Seen::default();
        let mut stages = vec![
            stage("files", &kinds::count(), json!({"samples": 40, "bytes": 10}), &[]),
            stage("a", &kinds::mark(), json!({"delay_micros": 500}), &["files"]),
            stage("b", &kinds::mark(), json!({"delay_micros": 50}), &["a"]),
            stage("c", &kinds::collect(seen.clone()), json!({}), &["b"]),
        ];
        stages[1].workers = Some(workers);
        stages[3].bound = Some(Bound { items, bytes: 25 });
        let graph = graph(stages);
        assert_eq!(graph.lanes.len(), 3);
        let report = run_to_end(graph, 2, ROOMY, &Control::new()).unwrap();
        assert_eq!(report.end, End::Complete);
        assert!(report.edges.iter().all(|edge| edge.peak_items <= edge.bound.items), "{:?}", report.edges);
        assert!(report.edges.iter().all(|edge| edge.peak_bytes <= edge.bound.bytes.max(10)), "{:?}", report.edges);
        assert_eq!(report.stages[1].items, 80);
        seen_by(&seen, "c")
    };
    let reference = outcome(0, 1);
    assert_eq!(reference.len(), 80);
    assert!(reference[0].starts_with("b(a(e0s0,") && reference[79].starts_with("b(a(e1s39,"));
    for workers in [1, 2, 4] {
        for items in [1, 2, 9] {
            assert_eq!(outcome(workers, items), reference);
        }
    }
}

#[test]
fn a_join_of_branches_at_different_rates_does_not_lock_up() {
    let seen = Seen::default();
    let mut stages = vec![
        stage("files", &kinds::count(), json!({"samples": 30, "bytes": 10}), &[]),
        stage("pack", &kinds::pack(), json!({"size": 8}), &["files"]),
        stage("join", &kinds::join(), json!(null), &["pack", "files"]),
        stage("c", &kinds::collect(seen.clone()), json!({}), &["join"]),
    ];
    stages.iter_mut().skip(1).for_each(|stage| stage.bound = Some(Bound { items: 1, bytes: 1 }));
    run_to_end(graph(stages), 2, ROOMY, &Control::new()).unwrap();
    let seen = seen_by(&seen, "c");
    assert_eq!(seen.len(), 2 * (30 + 4));
    assert_eq!(seen[0], "0[e0s0+e0s1+e0s2+e0s3+e0s4+e0s5+e0s6+e0s7]");
    assert_eq!(seen[1], "1e0s0");
    assert_eq!(seen[2], "0[e0s8+e0s9+e0s10+e0s11+e0s12+e0s13+e0s14+e0s15]");
}

/// Neither join's inputs have an ancestor in common, and yet each join can starve the other by what it leaves on its edges.
#[test]
fn crossed_joins_of_two_sources_do_not_lock_up() {
    let seen = Seen::default();
    let mut stages = vec![
        stage("a", &kinds::count(), json!({"samples": 60, "bytes": 10}), &[]),
        stage("b", &kinds::count(), json!({"samples": 60, "bytes": 10}), &[]),
        stage("slow_a", &kinds::pack(), json!({"size": 20}), &["a"]),
        stage("slow_b", &kinds::pack(), json!({"size": 20}), &["b"]),
        stage("one", &kinds::join(), json!(null), &["slow_a", "b"]),
        stage("two", &kinds::join(), json!(null), &["slow_b", "a"]),
        stage("c", &kinds::collect(seen.clone()), json!({}), &["one"]),
        stage("d", &kinds::collect(seen.clone()), json!({}), &["two"]),
    ];
    stages.iter_mut().skip(2).for_each(|stage| stage.bound = Some(Bound { items: 1, bytes: 1 }));
    run_to_end(graph(stages), 2, ROOMY, &Control::new()).unwrap();
    assert_eq!([seen_by(&seen, "c").len(), seen_by(&seen, "d").len()], [2 * 63; 2]);
}

#[test]
fn a_join_that_would_hold_more_than_the_budget_says_so() {
    let seen = Seen::default();
    let stages = vec![
        stage("files", &kinds::count(), json!({"samples": 1000, "bytes": 10}), &[]),
        stage("pack", &kinds::pack(), json!({"size": 500}), &["files"]),
        stage("join", &kinds::join(), json!(null), &["pack", "files"]),
        stage("c", &kinds::collect(seen.clone()), json!({}), &["join"]),
    ];
    let error = run_to_end(graph(stages), 1, 2000, &Control::new()).unwrap_err();
    assert_eq!(error.stage, "join");
    assert!(error.to_string().contains("different rates"), "{error}");
}

/// The test chain is prefetched during training, yet what hangs off the epoch's end sees the epoch's last state.
#[test]
fn the_device_finishes_an_epoch_with_its_test_before_it_begins_the_next() {
    let seen = Seen::default();
    let stages = vec![
        stage("files", &kinds::count(), json!({"samples": 6, "bytes": 10}), &[]),
        stage("load", &kinds::mark(), json!({"delay_micros": 300}), &["files"]),
        stage("train", &kinds::train(), json!({"size": 4}), &["load"]),
        stage("test_files", &kinds::count(), json!({"samples": 3, "bytes": 10}), &[]),
        stage("after", &kinds::after(), json!(null), &["train", "test_files"]),
        stage("c", &kinds::collect(seen.clone()), json!({}), &["after"]),
    ];
    let graph = graph(stages);
    assert_eq!(graph.lanes.iter().filter(|lane| lane.name == "device").count(), 1);
    run_to_end(graph, 3, ROOMY, &Control::new()).unwrap();
    let kinds: Vec<String> = seen_by(&seen, "c").iter().map(|text| text.chars().take(2).collect()).collect();
    assert_eq!(kinds, ["0[", "0[", "1e", "1e", "1e"].repeat(3));
}

#[test]
fn a_failure_names_stage_and_sample_and_ends_every_lane() {
    for workers in [0, 3] {
        for (options, panicked) in
            [(json!({"delay_micros": 100, "fail": "s17"}), false), (json!({"delay_micros": 100, "panic": "s17"}), true)]
        {
            let seen = Seen::default();
            let mut stages = vec![
                stage("files", &kinds::count(), json!({"samples": 100000, "bytes": 10}), &[]),
                stage("load", &kinds::mark(), options, &["files"]),
                stage("c", &kinds::collect(seen.clone()), json!({}), &["load"]),
                stage("other", &kinds::mark(), json!({"delay_micros": 100}), &["files"]),
                stage("d", &kinds::collect(seen.clone()), json!({}), &["other"]),
            ];
            stages[1].workers = Some(workers);
            let error = run_to_end(graph(stages), 1, ROOMY, &Control::new()).unwrap_err();
            assert_eq!((error.stage.as_str(), error.sample.as_deref(), error.panicked), ("load", Some("s17"), panicked));
            // What comes before the failure may have been seen, in order; nothing that comes after it.
            let before = seen_by(&seen, "c");
            assert!(
                before.len() <= 17 && before.iter().enumerate().all(|(at, text)| text.starts_with(&format!("load(e0s{at},"))),
                "{before:?}"
            );
            assert!(seen.lock().unwrap().iter().all(|(_, epoch, _)| *epoch != u64::MAX), "no stage finishes after a failure");
        }
    }
}

#[test]
fn a_drained_run_works_off_what_is_on_its_way_and_says_interrupted() {
    let seen = Seen::default();
    let stages = vec![
        stage("files", &kinds::count(), json!({"samples": 1000000, "bytes": 10}), &[]),
        stage("load", &kinds::mark(), json!({"delay_micros": 100}), &["files"]),
        stage("c", &kinds::collect(seen.clone()), json!({"delay_micros": 200}), &["load"]),
    ];
    let control = Control::new();
    let stopper = control.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        stopper.drain();
    });
    let report = run_to_end(graph(stages), 1, ROOMY, &control).unwrap();
    assert_eq!(report.end, End::Interrupted);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.last().map(|(_, _, text)| text.as_str()), Some("Interrupted"));
    assert_eq!(seen.len() as u64 - 1, report.stages[0].items);
}

/// The budget holds all payloads together; only an empty edge may take one more.
#[test]
fn host_memory_stays_inside_the_budget() {
    let seen = Seen::default();
    let mut stages = vec![
        stage("files", &kinds::count(), json!({"samples": 300, "bytes": 100}), &[]),
        stage("load", &kinds::mark(), json!({"delay_micros": 100}), &["files"]),
        stage("c", &kinds::collect(seen.clone()), json!({"delay_micros": 300}), &["load"]),
    ];
    stages[1].workers = Some(4);
    stages.iter_mut().skip(1).for_each(|stage| stage.bound = Some(Bound { items: 1000, bytes: 1 << 20 }));
    let report = run_to_end(graph(stages), 1, 1000, &Control::new()).unwrap();
    assert_eq!(seen_by(&seen, "c").len(), 300);
    // Two edges and four workers may each hold one item past the budget.
    assert!(report.host_bytes_peak <= 1000 + 6 * 100, "{}", report.host_bytes_peak);
    assert!(report.host_bytes_peak >= 1000, "the budget is used: {}", report.host_bytes_peak);
}

#[test]
fn a_source_that_gives_nothing_still_ends_its_epochs() {
    let seen = Seen::default();
    let stages = vec![
        stage("files", &kinds::count(), json!({"samples": 0, "bytes": 10}), &[]),
        stage("pack", &kinds::pack(), json!({"size": 2}), &["files"]),
        stage("c", &kinds::collect(seen.clone()), json!({}), &["pack"]),
    ];
    assert_eq!(run_to_end(graph(stages), 50, ROOMY, &Control::new()).unwrap().end, End::Complete);
    assert_eq!(seen.lock().unwrap().len(), 1);
}
