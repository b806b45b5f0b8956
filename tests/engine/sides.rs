//! On whose memory account stages run: the device's lane on the device's, all else on the host's.

use std::sync::{Arc, Mutex};

use pipeline::contract::memory::{Side, side};
use pipeline::contract::{End, ItemContext, Map, Output, Result, Sequential, StageKind};
use pipeline::engine::Control;
use serde_json::json;

use crate::kinds::{self, Packet, Seen};
use crate::{ROOMY, graph, run_to_end, stage};

/// Where the stages were: (stage, moment, side).
type Sides = Arc<Mutex<Vec<(String, &'static str, Side)>>>;

/// Hands packets on and notes on which side it is.
struct Note {
    stage: String,
    sides: Sides,
}

impl Note {
    fn build(stage: &str, sides: &Sides) -> Self {
        let note = Self { stage: stage.into(), sides: sides.clone() };
        note.note("build");
        note
    }

    fn note(&self, moment: &'static str) {
        self.sides.lock().unwrap().push((self.stage.clone(), moment, side()));
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        // Maps are shared with the workers, and the last owner drops it.
        self.note("drop");
    }
}

impl Map for Note {
    type In = Packet;
    type Out = Packet;
    fn map(&self, input: Packet, _: &ItemContext<'_>) -> Result<Packet> {
        self.note("item");
        Ok(input)
    }
}

impl Sequential for Note {
    type In = Packet;
    type Out = Packet;
    fn item(&mut self, input: Packet, cx: &ItemContext<'_>, out: &mut Output<'_, Packet>) -> Result<()> {
        self.note("item");
        out.emit(cx.sample, input)
    }
    fn epoch_end(&mut self, _: u64, _: &mut Output<'_, Packet>) -> Result<()> {
        self.note("epoch");
        Ok(())
    }
    fn finish(&mut self, _: End) -> Result<()> {
        self.note("finish");
        Ok(())
    }
}

#[test]
fn only_the_device_lane_is_on_the_device_side_and_for_its_whole_life() {
    let (seen, sides) = (Seen::default(), Sides::default());
    let noting = |make: fn(Sides) -> StageKind| make(sides.clone());
    let map = noting(|sides| StageKind::map("map", "notes", move |(): (), cx| Ok(Note::build(&cx.stage, &sides))));
    let on_host =
        noting(|sides| StageKind::sequential("sequential", "notes", move |(): (), cx| Ok(Note::build(&cx.stage, &sides))));
    let on_device = noting(|sides| StageKind::device("device", "notes", move |(): (), cx| Ok(Note::build(&cx.stage, &sides))));
    let mut stages = vec![
        stage("files", &kinds::count(), json!({"samples": 20, "bytes": 10}), &[]),
        stage("load", &map, json!(null), &["files"]),
        stage("pack", &on_host, json!(null), &["load"]),
        stage("train", &on_device, json!(null), &["pack"]),
        stage("clean", &on_device, json!(null), &["train"]),
        stage("collect", &kinds::collect(seen.clone()), json!({}), &["clean"]),
    ];
    stages[1].workers = Some(2);
    run_to_end(graph(stages), 2, ROOMY, &Control::new()).unwrap();
    let sides = sides.lock().unwrap();
    for name in ["load", "pack", "train", "clean"] {
        let mine = || sides.iter().filter(|(stage, _, _)| stage == name);
        let expected = if ["train", "clean"].contains(&name) { Side::Device } else { Side::Host };
        assert!(mine().all(|&(_, _, side)| side == expected), "{:?}", mine().collect::<Vec<_>>());
        let moments =
            if name == "load" { &["build", "item", "drop"][..] } else { &["build", "item", "epoch", "finish", "drop"] };
        for moment in moments {
            assert!(mine().any(|(_, at, _)| at == moment), "{name} has no {moment}");
        }
    }
    assert_eq!(side(), Side::Host);
}
