//! Samples that are cut into pieces: counted, ordered, resumed between two of them, and left out whole.

use std::sync::{Arc, Mutex};

use pipeline::contract::{Event, Events, ItemContext, Output, Result, Source, StageKind};
use pipeline::engine::{Cap, Control, SkipLedger};
use pipeline::graph::{Graph, Stage};
use serde_json::{Value, json};

use super::kinds::{self, Packet, Seen};
use super::{Kept, graph, run_saved, run_to_end, run_with, seen_by, stage};

/// A source, pieces of its samples, two packs of two sizes and a sink on the device.
fn chain(seen: &Seen, workers: usize) -> Graph {
    let mut stages: Vec<Stage> = vec![
        stage("files", &kinds::count(), json!({"samples": 4, "bytes": 10}), &[]),
        stage("load", &kinds::mark(), json!({"delay_micros": 200}), &["files"]),
        stage("cut", &kinds::cut(), json!({"pieces": 3}), &["load"]),
        stage("augment", &kinds::mark(), json!({"delay_micros": 200}), &["cut"]),
        stage("batch", &kinds::gather(), json!({"size": 2}), &["augment"]),
        stage("sink", &kinds::remember(seen.clone()), json!(null), &["batch"]),
    ];
    stages[1].workers = Some(workers);
    graph(stages)
}

fn saved(resume: Option<pipeline::engine::Snapshot>, workers: usize, kept: &Arc<Kept>) -> Vec<String> {
    let seen = Seen::default();
    run_saved(chain(&seen, workers), 2, kept.clone(), resume).unwrap();
    seen_by(&seen, "sink")
}

#[test]
fn a_run_resumes_between_two_pieces_without_processing_earlier_samples_again() {
    let kept = Arc::new(Kept::default());
    let whole = saved(None, 3, &kept);
    // 12 pieces in batches of 2, and the end of the epoch; some batches hold pieces of two samples.
    assert_eq!(whole.len(), 2 * 7);
    assert!(whole[1].contains("cut.3(load(e0s0") && whole[1].contains("cut.1(load(e0s1"), "{}", whole[1]);
    assert_eq!(saved(None, 0, &Arc::default()), whole);
    let snapshots = std::mem::take(&mut *kept.0.lock().unwrap());
    let mut inside = 0;
    for snapshot in snapshots {
        inside += usize::from(snapshot.position.inputs[0].until % 3 > 0);
        assert_eq!(saved(Some(snapshot.clone()), 2, &Arc::default()), whole, "from {:?}", snapshot.position);
    }
    assert!(inside >= 6, "{inside} snapshots are inside a sample's pieces");
}

/// Keeps what was announced, and what was reported as skipped.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Events for Told {
    fn record(&self, event: Event) {
        let Event::SampleSkipped(skipped) = event else { panic!("{event:?}") };
        self.0.lock().unwrap().push(format!("{} in {}: {}", skipped.sample, skipped.stage, skipped.error));
    }
    fn summarize(&self, _: &str, _: Value) {}
}

#[test]
fn a_sample_is_left_out_whole_and_by_its_own_name() {
    for (workers, apart) in [(0, false), (3, false), (2, true)] {
        let seen = Seen::default();
        let mut stages = vec![
            stage("files", &kinds::count(), json!({"samples": 4, "bytes": 10}), &[]),
            stage("cut", &kinds::cut(), json!({"pieces": 3}), &["files"]),
            stage("augment", &kinds::mark(), json!({"delay_micros": 200, "fail": "s1#2"}), &["cut"]),
            stage("sink", &kinds::collect(seen.clone()), json!({}), &["augment"]),
        ];
        stages[1].workers = Some(workers);
        // In a lane of its own, the other pieces have gone on before.
        stages[2].bound = apart.then(Default::default);
        let told = Arc::new(Told::default());
        let ledger = SkipLedger::new(Some(Cap { at_most: 1, share: 0.25 }));
        run_with(graph(stages), 2, 1 << 30, &Control::new(), ledger.into(), told.clone()).unwrap();
        let told = told.0.lock().unwrap().clone();
        assert_eq!(told, ["s1 in augment: its piece s1#2: rubbish in the file"]);
        let left = seen_by(&seen, "sink").iter().filter(|text| text.contains("e0s")).count();
        assert_eq!(left, if apart { 11 } else { 9 });
    }
}

#[test]
fn a_kind_that_makes_another_number_than_it_says_ends_the_run() {
    let stages = vec![
        stage("files", &kinds::count(), json!({"samples": 4, "bytes": 10}), &[]),
        stage("cut", &kinds::miscut(), json!(null), &["files"]),
        stage("sink", &kinds::collect(Seen::default()), json!({}), &["cut"]),
    ];
    let error = run_to_end(graph(stages), 1, 1 << 30, &Control::new()).unwrap_err();
    assert_eq!((error.stage.as_str(), error.cause.message()), ("cut", "it made 2 items of one, and its kind says 3"));
}

/// Announces how many samples it has.
struct Announced;

impl Source for Announced {
    type Out = Packet;
    fn samples(&self) -> Option<u64> {
        Some(5)
    }
    fn epoch(&mut self, _: u64, out: &mut Output<'_, Packet>) -> Result<()> {
        (0..5).try_for_each(|index| out.emit(format!("s{index}"), Packet(String::new(), 1)))
    }
}

#[test]
fn an_epoch_counts_pieces_below_the_cut() {
    let lengths = Arc::new(Mutex::new(Vec::new()));
    let ask = |name: &'static str| {
        let lengths = lengths.clone();
        StageKind::sequential(name, "asks", move |(): (), cx| {
            Ok(Asks { name, samples: cx.samples.clone(), lengths: lengths.clone() })
        })
    };
    let source = StageKind::source("announced", "announces", |(): (), _| Ok(Announced));
    let stages = vec![
        stage("files", &source, json!(null), &[]),
        stage("above", &ask("above"), json!(null), &["files"]),
        stage("cut", &kinds::cut(), json!({"pieces": 3}), &["above"]),
        stage("cut_again", &kinds::cut(), json!({"pieces": 2}), &["cut"]),
        stage("below", &ask("below"), json!(null), &["cut_again"]),
        stage("sink", &kinds::collect(Seen::default()), json!({}), &["below"]),
    ];
    let built = graph(stages);
    let (files, below) = (built.node("files").unwrap(), built.node("below").unwrap());
    assert_eq!(built.counted_into(below, 0), [(files, 6)]);
    run_to_end(built, 1, 1 << 30, &Control::new()).unwrap();
    let mut lengths = lengths.lock().unwrap().clone();
    lengths.sort_unstable();
    lengths.dedup();
    assert_eq!(lengths, [("above", Some(5)), ("below", Some(30))]);
}

/// How long stages believed an epoch to be.
type Lengths = Arc<Mutex<Vec<(&'static str, Option<u64>)>>>;

/// Notes how long an epoch is where it stands.
struct Asks {
    name: &'static str,
    samples: pipeline::contract::SampleCount,
    lengths: Lengths,
}

impl pipeline::contract::Sequential for Asks {
    type In = Packet;
    type Out = Packet;
    fn item(&mut self, input: Packet, cx: &ItemContext<'_>, out: &mut Output<'_, Packet>) -> Result<()> {
        self.lengths.lock().unwrap().push((self.name, self.samples.per_epoch()));
        out.emit(cx.sample, input)
    }
}
