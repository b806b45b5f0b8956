//! Runs that are told to end after an epoch: that epoch is done to its end everywhere, and nothing of later ones happens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline::contract::{End, ItemContext, Output, Result, Sequential, StageKind};
use pipeline::engine::{Control, RunOptions, Snapshot};
use pipeline::graph::{Bound, Graph};
use serde_json::json;

use crate::kinds::{self, Packet, Seen};
use crate::{Kept, ROOMY, graph, options, run_by, seen_by, stage};

/// Passes packets on, and ends the run after `epochs` epochs when the last of them ends here.
struct Ender {
    control: Control,
    epochs: u64,
}

impl Sequential for Ender {
    type In = Packet;
    type Out = Packet;
    fn item(&mut self, input: Packet, cx: &ItemContext<'_>, out: &mut Output<'_, Packet>) -> Result<()> {
        out.emit(cx.sample, input)
    }
    fn epoch_end(&mut self, epoch: u64, _: &mut Output<'_, Packet>) -> Result<()> {
        if epoch + 1 == self.epochs {
            self.control.end_after(self.epochs);
        }
        Ok(())
    }
}

fn ender(control: &Control, epochs: u64) -> StageKind {
    let control = control.clone();
    StageKind::device("ender", "ends", move |(): (), _| Ok(Ender { control: control.clone(), epochs }))
}

/// Training, then a test that is prefetched; what sees the training on the device, all of it behind the device, and the samples beside it.
fn training(seen: &Seen, control: &Control, epochs: u64, samples: usize, bound: usize) -> Graph {
    let mut stages = vec![
        stage("files", &kinds::count(), json!({"samples": samples, "bytes": 10}), &[]),
        stage("load", &kinds::mark(), json!({"delay_micros": 50}), &["files"]),
        stage("beside", &kinds::collect(seen.clone()), json!({}), &["load"]),
        stage("train", &kinds::train(), json!({"size": 3}), &["load"]),
        stage("end", &ender(control, epochs), json!(null), &["train"]),
        stage("test_files", &kinds::count(), json!({"samples": 4, "bytes": 10}), &[]),
        stage("test_load", &kinds::mark(), json!({"delay_micros": 200}), &["test_files"]),
        stage("after", &kinds::after(), json!(null), &["end", "test_load"]),
        stage("told", &kinds::remember(seen.clone()), json!(null), &["end"]),
        stage("behind", &kinds::collect(seen.clone()), json!({}), &["after"]),
    ];
    stages[1].workers = Some(2);
    let bounded = stages.iter_mut().filter(|stage| !stage.needs.is_empty() && !["end", "told"].contains(&stage.id.as_str()));
    bounded.for_each(|stage| stage.bound = Some(Bound { items: bound, bytes: 1 << 20 }));
    graph(stages)
}

/// What the device's lane and the sink behind it saw, and how the sinks ended.
fn outcome(seen: &Seen) -> ([Vec<String>; 2], Vec<(String, String)>) {
    let ends = seen.lock().unwrap().iter().filter(|(_, epoch, _)| *epoch == u64::MAX).cloned().collect::<Vec<_>>();
    let mut ends: Vec<_> = ends.into_iter().map(|(stage, _, text)| (stage, text)).collect();
    ends.sort();
    (["told", "behind"].map(|sink| seen_by(seen, sink)), ends)
}

#[test]
fn an_epoch_that_becomes_the_last_is_done_to_its_end() {
    // What the same graph does that has no more epochs from the beginning.
    let (seen, control) = (Seen::default(), Control::new());
    run_by(training(&seen, &control, 99, 10, 4), options(2, ROOMY), &control).unwrap();
    let (expected, ends) = outcome(&seen);
    assert_eq!(ends, [("behind", "Complete"), ("beside", "Complete")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    for bound in [1, 4, 100] {
        for epochs in [3, 1_000_000] {
            let (seen, control) = (Seen::default(), Control::new());
            let report = run_by(training(&seen, &control, 2, 10, bound), options(epochs, ROOMY), &control).unwrap();
            assert_eq!(report.end, End::Complete);
            assert_eq!(outcome(&seen), (expected.clone(), ends.clone()), "bound {bound}, {epochs} epochs");
            // The sink beside the device may have been ahead, but has the whole of each epoch that counts.
            let beside = seen_by(&seen, "beside").iter().filter(|text| text.contains("(e0s") || text.contains("(e1s")).count();
            assert_eq!(beside, 20);
        }
    }
}

#[test]
fn a_long_epoch_that_has_begun_is_left() {
    let (seen, control) = (Seen::default(), Control::new());
    // The source has billions of samples left of the next epoch when the run is told to end.
    let stages = vec![
        stage("files", &kinds::count(), json!({"samples": 5, "bytes": 10}), &[]),
        stage("end", &ender(&control, 1), json!(null), &["files"]),
        stage("told", &kinds::remember(seen.clone()), json!(null), &["end"]),
        stage("many", &kinds::count(), json!({"samples": 4_000_000_000_u64, "bytes": 1}), &[]),
        stage("beside", &kinds::collect(seen.clone()), json!({"delay_micros": 100}), &["many"]),
    ];
    let other = control.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        other.drain();
    });
    let report = run_by(graph(stages), options(2, ROOMY), &control).unwrap();
    assert_eq!(report.end, End::Interrupted, "the other source's first epoch wasn't done");
    assert_eq!(seen_by(&seen, "told").last().map(String::as_str), Some("end of 0"));
}

#[test]
fn it_ends_there_from_each_snapshot() {
    let (seen, control, kept) = (Seen::default(), Control::new(), Arc::new(Kept::default()));
    let saving = |kept: &Arc<Kept>, resume: Option<Snapshot>| RunOptions {
        keeper: Some(kept.clone()),
        resume: resume.map(|snapshot| Arc::new(Mutex::new(snapshot))),
        ..options(50, ROOMY)
    };
    run_by(training(&seen, &control, 3, 7, 4), saving(&kept, None), &control).unwrap();
    let expected = seen_by(&seen, "told");
    let snapshots = std::mem::take(&mut *kept.0.lock().unwrap());
    assert!(snapshots.len() > 20, "{}", snapshots.len());
    for (at, snapshot) in snapshots.into_iter().enumerate() {
        let (seen, control) = (Seen::default(), Control::new());
        // Whoever told the first run tells the second one again, if that was before the snapshot.
        if snapshot.position.inputs.iter().any(|input| input.epochs >= 3) {
            control.end_after(3);
        }
        let report = run_by(training(&seen, &control, 3, 7, 4), saving(&Arc::default(), Some(snapshot)), &control).unwrap();
        assert_eq!((report.end, seen_by(&seen, "told")), (End::Complete, expected.clone()), "from snapshot {at}");
    }
}
