//! Random graphs with random delays, workers, bounds and failures, against a plain interpreter of what they should give.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline::contract::stage_rng;
use pipeline::engine::{Control, Snapshot};
use pipeline::graph::{Bound, Stage, build};
use proptest::prelude::*;
use rand::RngExt;
use serde_json::json;

use super::kinds::{self, Seen};
use super::{Kept, graph, run_saved, run_to_end, stage};

#[derive(Debug, Clone)]
enum Node {
    Count {
        samples: u64,
    },
    Mark {
        from: usize,
        workers: Option<usize>,
        delay_micros: u64,
    },
    /// Into several, with ids of their own.
    Cut {
        from: usize,
        pieces: u64,
    },
    Pack {
        from: usize,
        size: usize,
    },
    /// As `Pack`, called by its last sample; the engine knows that it holds nothing back.
    Gather {
        from: usize,
        size: usize,
    },
    Join {
        first: usize,
        second: usize,
    },
}

#[derive(Debug, Clone)]
struct Plan {
    nodes: Vec<Node>,
    /// The bound of the edges into each stage; the last ones serve the sinks.
    bounds: Vec<Option<Bound>>,
    epochs: u64,
}

fn plans() -> impl Strategy<Value = Plan> {
    let bound = prop::option::of((1usize..6, 1u64..200).prop_map(|(items, bytes)| Bound { items, bytes }));
    let shape =
        (0u8..10, any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u64..12, prop::option::of(0usize..4), 0u64..400);
    (prop::collection::vec(shape, 1..12), prop::collection::vec(bound, 24), 1u64..4).prop_map(|(shapes, bounds, epochs)| {
        let mut nodes = vec![Node::Count { samples: 9 }];
        for (what, a, b, number, workers, delay_micros) in shapes {
            let (from, second) = (a.index(nodes.len()), b.index(nodes.len()));
            nodes.push(match what {
                0 => Node::Count { samples: number },
                1..=3 => Node::Mark { from, workers, delay_micros },
                4 => Node::Cut { from, pieces: 1 + number % 3 },
                5 => Node::Gather { from, size: 1 + number as usize % 5 },
                6 => Node::Pack { from, size: 1 + number as usize % 5 },
                _ => Node::Join { first: from, second },
            });
        }
        Plan { nodes, bounds, epochs }
    })
}

/// What each node gives in one epoch, as (sample, text).
fn interpret(plan: &Plan, epoch: u64) -> Vec<Vec<(String, String)>> {
    let mut given: Vec<Vec<(String, String)>> = Vec::new();
    for (at, node) in plan.nodes.iter().enumerate() {
        let items = match node {
            Node::Count { samples } => (0..*samples).map(|index| (format!("s{index}"), format!("e{epoch}s{index}"))).collect(),
            Node::Mark { from, .. } => given[*from]
                .iter()
                .map(|(sample, text)| {
                    let draw: u64 = stage_rng(7, epoch, sample, &format!("n{at}")).random();
                    (sample.clone(), format!("n{at}({text},{})", draw % 100))
                })
                .collect(),
            Node::Cut { from, pieces } => given[*from]
                .iter()
                .flat_map(|(sample, text)| {
                    (1..=*pieces).map(move |piece| (format!("{sample}#{piece}"), format!("n{at}.{piece}({text})")))
                })
                .collect(),
            Node::Pack { from, size } => given[*from]
                .chunks(*size)
                .map(|chunk| chunk.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("+"))
                .map(|text| ("pack".into(), format!("[{text}]")))
                .collect(),
            Node::Gather { from, size } => given[*from]
                .chunks(*size)
                .map(|chunk| {
                    let texts: Vec<&str> = chunk.iter().map(|(_, text)| text.as_str()).collect();
                    (chunk.last().unwrap().0.clone(), format!("[{}]", texts.join("+")))
                })
                .collect(),
            Node::Join { first, second } => {
                let longest = given[*first].len().max(given[*second].len());
                (0..longest)
                    .flat_map(|index| [(0, given[*first].get(index)), (1, given[*second].get(index))])
                    .filter_map(|(port, item)| item.map(|(sample, text)| (sample.clone(), format!("{port}{text}"))))
                    .collect()
            }
        };
        given.push(items);
    }
    given
}

fn stages(plan: &Plan, failing: Option<usize>) -> (Vec<Stage>, Vec<usize>) {
    let name = |at: usize| format!("n{at}");
    let mut consumed = vec![false; plan.nodes.len()];
    let mut stages = Vec::new();
    for (at, node) in plan.nodes.iter().enumerate() {
        let mut made = match node {
            Node::Count { samples } => stage(&name(at), &kinds::count(), json!({"samples": samples, "bytes": 10}), &[]),
            Node::Mark { from, workers, delay_micros } => {
                consumed[*from] = true;
                let fail = (failing == Some(at)).then_some("s3");
                let options = json!({"delay_micros": delay_micros, "fail": fail});
                let mut made = stage(&name(at), &kinds::mark(), options, &[&name(*from)]);
                made.workers = *workers;
                made
            }
            Node::Cut { from, pieces } => {
                consumed[*from] = true;
                stage(&name(at), &kinds::cut(), json!({"pieces": pieces}), &[&name(*from)])
            }
            Node::Pack { from, size } => {
                consumed[*from] = true;
                stage(&name(at), &kinds::pack(), json!({"size": size}), &[&name(*from)])
            }
            Node::Gather { from, size } => {
                consumed[*from] = true;
                stage(&name(at), &kinds::gather(), json!({"size": size}), &[&name(*from)])
            }
            Node::Join { first, second } => {
                consumed[*first] = true;
                consumed[*second] = true;
                stage(&name(at), &kinds::join(), json!(null), &[&name(*first), &name(*second)])
            }
        };
        made.bound = plan.bounds[at].filter(|_| !made.needs.is_empty());
        stages.push(made);
    }
    let ends: Vec<usize> = (0..consumed.len()).filter(|&at| !consumed[at]).collect();
    (stages, ends)
}

/// The same with a sink on the CPU at each end.
fn with_sinks(plan: &Plan, seen: &Seen, failing: Option<usize>) -> (Vec<Stage>, Vec<usize>) {
    let (mut stages, ends) = stages(plan, failing);
    for &at in &ends {
        let mut sink = stage(&format!("sink{at}"), &kinds::collect(seen.clone()), json!({}), &[&format!("n{at}")]);
        sink.bound = plan.bounds[12 + at % 12];
        stages.push(sink);
    }
    (stages, ends)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_graphs_give_what_a_plain_interpreter_gives(plan in plans()) {
        let seen = Seen::default();
        let (stages, ends) = with_sinks(&plan, &seen, None);
        let report = run_to_end(graph(stages), plan.epochs, 1 << 30, &Control::new()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        for edge in &report.edges {
            prop_assert!(edge.peak_items <= edge.bound.items, "{edge:?}");
        }
        let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for epoch in 0..plan.epochs {
            let given = interpret(&plan, epoch);
            for &at in &ends {
                expected.entry(format!("sink{at}")).or_default().extend(given[at].iter().map(|(_, text)| text.clone()));
            }
        }
        for (sink, texts) in expected {
            prop_assert_eq!(super::seen_by(&seen, &sink), texts);
        }
    }

    #[test]
    fn random_graphs_go_on_from_any_item_as_if_nothing_had_happened(plan in plans(), which in any::<prop::sample::Index>()) {
        // At each end a pack and a sink, all of them in the device's lane, which is saved after every item.
        let (with_device, kept) = (|seen: &Seen| {
            let (mut all, ends) = stages(&plan, None);
            for &at in &ends {
                all.push(stage(&format!("pack{at}"), &kinds::train(), json!({"size": 1 + at % 4}), &[&format!("n{at}")]));
                all.push(stage(&format!("sink{at}"), &kinds::remember(seen.clone()), json!(null), &[&format!("pack{at}")]));
            }
            all
        }, Arc::new(Kept::default()));
        let run = |resume: Option<Snapshot>| {
            let seen = Seen::default();
            let (built, problems) = build(with_device(&seen));
            // Ends that can't be read in one order have no lane.
            let Some(built) = built.filter(|_| problems.is_empty()) else { return Ok(None) };
            run_saved(built, plan.epochs, kept.clone(), resume).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let seen = seen.lock().unwrap().clone();
            Ok::<_, TestCaseError>(Some(seen))
        };
        let Some(reference) = run(None)? else { return Ok(()) };
        let snapshots = std::mem::take(&mut *kept.0.lock().unwrap());
        prop_assert!(!snapshots.is_empty());
        let snapshot = snapshots[which.index(snapshots.len())].clone();
        prop_assert_eq!(run(Some(snapshot.clone()))?, Some(reference), "from {:?}", snapshot.position);
    }

    #[test]
    fn random_graphs_with_a_failing_stage_end_with_its_error(plan in plans(), which in any::<prop::sample::Index>()) {
        let marks: Vec<usize> = (0..plan.nodes.len()).filter(|&at| matches!(plan.nodes[at], Node::Mark { .. })).collect();
        prop_assume!(!marks.is_empty());
        let failing = marks[which.index(marks.len())];
        let Node::Mark { from, .. } = plan.nodes[failing] else { unreachable!() };
        let reached = (0..plan.epochs).any(|epoch| interpret(&plan, epoch)[from].iter().any(|(sample, _)| sample == "s3"));
        let seen = Seen::default();
        let (stages, _) = with_sinks(&plan, &seen, Some(failing));
        let outcome = run_to_end(graph(stages), plan.epochs, 1 << 30, &Control::new());
        match outcome {
            Ok(_) => prop_assert!(!reached),
            Err(error) => {
                prop_assert!(reached);
                prop_assert_eq!(error.stage, format!("n{failing}"));
                prop_assert_eq!(error.sample.as_deref(), Some("s3"));
            }
        }
    }
}
