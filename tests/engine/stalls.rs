//! Stages that hang: the run says who works on what and which queues are full, ends, and doesn't wait for what never returns.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use pipeline::contract::{Event, Events, ItemContext, Map, Result, StageError, StageKind};
use pipeline::engine::{Control, Patience, RunOptions};
use pipeline::graph::Bound;
use serde_json::{Value, json};

use super::kinds::{self, Packet, Seen};
use super::{ROOMY, graph, options, run_by, stage};

/// A map that never returns from one of its samples.
struct Hang(&'static str);

impl Map for Hang {
    type In = Packet;
    type Out = Packet;
    fn map(&self, input: Packet, cx: &ItemContext<'_>) -> Result<Packet> {
        if cx.sample == self.0 {
            loop {
                std::thread::park();
            }
        }
        Ok(input)
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<Event>>);

impl Events for Heard {
    fn record(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
    fn summarize(&self, _: &str, _: Value) {}
}

#[test]
fn a_stage_that_hangs_is_named_and_left_behind() {
    for workers in [0, 2] {
        let hang = StageKind::map("hang", "hangs", |(): (), _| Ok(Hang("s3")));
        let mut stages = vec![
            stage("files", &kinds::count(), json!({"samples": 40, "bytes": 10}), &[]),
            stage("slow", &hang, json!(null), &["files"]),
            stage("sink", &kinds::collect(Seen::default()), json!({}), &["slow"]),
        ];
        stages[1].workers = Some(workers);
        stages[1].bound = Some(Bound { items: 3, bytes: 1000 });
        let heard = Arc::new(Heard::default());
        let ms = Duration::from_millis;
        let patience = Patience { warn: ms(60), end: Some(ms(300)), leave: ms(200) };
        let options = RunOptions { events: heard.clone(), patience, ..options(1, ROOMY) };
        let started = Instant::now();
        let error = run_by(graph(stages), options, &Control::new()).unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(20), "the hanging stage held up the end");
        assert_eq!((error.stage.as_str(), error.sample.as_deref()), ("slow", Some("s3")));
        let said = error.cause.to_string();
        for part in ["nothing has moved for", "stage `slow` has worked on sample s3 for", "full: files -> slow (3 items)"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let heard = heard.0.lock().unwrap();
        let stalls: Vec<_> =
            heard.iter().filter(|event| matches!(event, Event::Stall(stall) if stall.quiet_seconds >= 0.06)).collect();
        assert_eq!(stalls.len(), 1, "told once: {stalls:?}");
    }
}

/// A stage that waits for a device which is no more: the library that it waits in has no limit.
#[test]
fn a_run_whose_device_is_lost_ends_with_that() {
    static LOSS: OnceLock<StageError> = OnceLock::new();
    let hang = StageKind::map("hang", "hangs", |(): (), _| Ok(Hang("s3")));
    let stages = vec![
        stage("files", &kinds::count(), json!({"samples": 40, "bytes": 10}), &[]),
        stage("train", &hang, json!(null), &["files"]),
        stage("sink", &kinds::collect(Seen::default()), json!({}), &["train"]),
    ];
    let patience = Patience { warn: Duration::from_secs(3600), end: None, leave: Duration::from_secs(1) };
    let options = RunOptions { patience, lost: || LOSS.get(), ..options(1, ROOMY) };
    let teller = std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(200));
        LOSS.set(StageError::new("the device was lost"))
    });
    let error = run_by(graph(stages), options, &Control::new()).unwrap_err();
    assert_eq!((error.stage.as_str(), error.cause.to_string().as_str()), ("train", "the device was lost"));
    teller.join().unwrap().unwrap();
}

#[test]
fn a_slow_run_is_no_stall() {
    let stages = vec![
        stage("files", &kinds::count(), json!({"samples": 30, "bytes": 10}), &[]),
        stage("sink", &kinds::collect(Seen::default()), json!({"delay_micros": 20_000}), &["files"]),
    ];
    let heard = Arc::new(Heard::default());
    let patience = Patience { warn: Duration::from_millis(400), end: Some(Duration::from_millis(500)), ..Patience::default() };
    let options = RunOptions { events: heard.clone(), patience, ..options(1, ROOMY) };
    // Longer than its patience in all, but something always moves.
    run_by(graph(stages), options, &Control::new()).unwrap();
    assert!(heard.0.lock().unwrap().is_empty());
}
