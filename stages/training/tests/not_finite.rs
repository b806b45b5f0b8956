//! Windows whose losses or gradients aren't finite: the error and the event name the step, the samples and the block in which
//! it began, by both arithmetics. Weights stay as they were.
#![allow(clippy::expect_used, reason = "tests may panic")]

mod common;

use std::sync::Mutex;

use burn::tensor::Tensor;
use common::{add, network, part, samples, weights};
use pipeline_contract::{Event, Events, StageError};
use pipeline_training::Precision;
use pipeline_training::micro_batch::MicroBatch;
use pipeline_training::network::Checkpointing;
use pipeline_training::optimizer::{Optimizer, Rule, Sgd};
use pipeline_training::parameters::Role;
use pipeline_training::policy::{LossScale, Setting};
use pipeline_training::trainee::Shared;
use serde_json::{Value, json};

/// Keeps the events.
#[derive(Default)]
struct Log(Mutex<Vec<(String, Value)>>);

impl Events for Log {
    fn record(&self, event: Event) {
        self.0.lock().expect("no panic before").push((event.name().into(), Value::Object(event.fields())));
    }
    fn summarize(&self, _: &str, _: Value) {}
}

fn sgd() -> Optimizer {
    Optimizer::new(Rule::Sgd(Sgd { momentum: 0.0, weight_decay: 0.0, nesterov: false }), None)
}

/// Sets the first value of a tensor.
fn poison(network: &Shared, name: &str, value: f32) {
    let mut trainee = network.lock().expect("no panic before");
    let slot = trainee.network.layout.of(Role::Trained).find(|spec| spec.name == name).expect(name).slot;
    trainee.state.trained[slot].inplace(|weight| {
        let mut values = weight.try_to_vec_as::<f32>().expect("float32");
        values[0] = value;
        Tensor::from_floats(values.as_slice(), &weight.device())
    });
}

/// Steps on a window of micro-batches that must fail; the error and what was recorded.
fn failed(network: &Shared, batches: Vec<MicroBatch>) -> (StageError, Value) {
    let mut window = None;
    batches.into_iter().for_each(|batch| add(network, &mut window, batch));
    let before = weights(network);
    let error = sgd().step(&window.expect("a micro-batch"), 0.1).expect_err("not finite");
    let same = before.iter().zip(weights(network)).all(|(a, b)| a.to_bits() == b.to_bits());
    assert!(same, "the weights are as before");
    let log = Log::default();
    network.lock().expect("no panic before").tell(&log, 4);
    let events = log.0.into_inner().expect("no panic before");
    assert_eq!(events.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["not_finite"]);
    (error, events[0].1.clone())
}

/// The names of the blocks whose RMS is a number.
fn finite(event: &Value) -> Vec<&str> {
    let blocks = event["blocks"].as_array().expect("blocks");
    blocks.iter().filter(|block| block["rms"].is_number()).filter_map(|block| block["name"].as_str()).collect()
}

const BLOCKS: [&str; 7] = ["images", "down.0", "down.1", "down.2", "decode.0", "decode.1", "head"];

#[test]
fn the_block_in_which_it_began_is_named() {
    let batch = samples(3, 16, 5);
    for norm in ["group", "batch", "instance"] {
        for (tensor, value, at) in [
            ("down.0.conv1.weight", f32::NAN, 1),
            ("down.1.conv2.weight", f32::INFINITY, 2),
            // A norm's own values are seen only by whoever reads the block.
            ("down.1.norm2.weight", f32::NAN, 2),
            ("up.0.weight", f32::NEG_INFINITY, 4),
            ("decode.1.norm1.bias", f32::NAN, 5),
            ("head.weight", f32::NAN, 6),
        ] {
            let network = network(8, 3, norm);
            poison(&network, tensor, value);
            let (error, event) = failed(&network, vec![part(&batch, 0, 2), part(&batch, 2, 3)]);
            let case = format!("{tensor} {norm}");
            let place = format!("begins in block {}, after {} with an RMS of", BLOCKS[at], BLOCKS[at - 1]);
            assert!(error.message().contains(&place), "{case}: {error}");
            assert!(
                error.message().contains("the loss of each sample is NaN in step 1 (samples s0, s1, s2)"),
                "{case}: {error}"
            );
            let named: Vec<&str> =
                event["blocks"].as_array().expect("blocks").iter().filter_map(|block| block["name"].as_str()).collect();
            assert_eq!(named, BLOCKS);
            assert_eq!(finite(&event)[..at], BLOCKS[..at], "{case}: {event}");
            assert!(!finite(&event).contains(&BLOCKS[at]), "{case}: {event}");
            assert_eq!((&event["step"], &event["epoch"]), (&json!(1), &json!(5)));
            assert_eq!(event["samples"], json!(["s0", "s1", "s2"]));
            assert_eq!(event["losses"], json!([null, null, null]));
        }
    }
}

#[test]
fn the_rms_of_each_block_is_measured() {
    let network = network(8, 3, "group");
    poison(&network, "head.weight", f32::NAN);
    let (_, event) = failed(&network, vec![samples(2, 16, 5)]);
    let rms: Vec<f64> = event["blocks"].as_array().expect("blocks").iter().filter_map(|block| block["rms"].as_f64()).collect();
    assert_eq!(rms.len(), 6);
    // Images of values from 0 to 1: the root of a third.
    assert!((rms[0] - (1.0f64 / 3.0).sqrt()).abs() < 0.02, "{rms:?}");
    assert!(rms.iter().all(|rms| (0.05..1.0).contains(rms)), "{rms:?}");
}

#[test]
fn a_sample_that_is_not_finite_is_told_from_the_others() {
    let network = network(8, 3, "group");
    let mut batch = samples(3, 16, 5);
    if let pipeline_training::micro_batch::Pixels::Floats(values) = &mut batch.pixels {
        values[3 * 256] = f32::INFINITY;
    }
    let (error, event) = failed(&network, vec![batch]);
    assert!(error.message().contains("the loss of sample s1 is NaN in step 1, whose samples are s0, s1, s2"), "{error}");
    assert!(error.message().ends_with("the images themselves are not finite"), "{error}");
    assert_eq!(event["not_finite"], json!(["s1"]));
    assert!(event["losses"][0].is_number() && event["losses"][1].is_null() && event["losses"][2].is_number());
}

#[test]
fn a_learning_rate_that_blows_up_is_shown_where_it_grows() {
    let network = network(8, 3, "group");
    let mut optimizer = sgd();
    let mut said = None;
    for step in 1..100 {
        let mut window = None;
        add(&network, &mut window, samples(2, 16, step));
        if let Err(error) = optimizer.step(&window.expect("one"), 1e18) {
            said = Some((step, error));
            break;
        }
    }
    let (step, error) = said.expect("it blows up");
    assert!(step > 1 && error.message().contains(&format!("step {step}")), "{error}");
    assert!(error.message().contains("block") && error.mend().is_some_and(|help| help.contains("smaller lr")), "{error}");
}

#[test]
fn a_gradient_alone_begins_after_the_blocks() {
    let network = network(8, 3, "group");
    let mut window = None;
    add(&network, &mut window, samples(2, 16, 5));
    let infinite = |sum: Tensor<1>| sum.ones_like() * f32::INFINITY;
    network.lock().expect("no panic before").gradients_mut()[0].inplace(infinite);
    let error = sgd().step(&window.expect("one"), 0.1).expect_err("not finite");
    for words in [
        "the gradient of step 1 is not finite",
        "samples s0, s1",
        "activations of all blocks are finite",
        "after the last block",
    ] {
        assert!(error.message().contains(words), "{words}: {error}");
    }
}

/// Looking costs memory: where there is none, the error says so and is an error all the same.
#[test]
fn where_nobody_can_look_the_error_says_so() {
    let network = network(8, 3, "group");
    poison(&network, "down.1.conv2.weight", f32::NAN);
    let mut window = None;
    add(&network, &mut window, samples(2, 16, 5));
    {
        let trainee = network.lock().expect("no panic before");
        trainee.ledger.set_limit(Some(trainee.ledger.now().total));
    }
    let error = sgd().step(&window.expect("one"), 0.1).expect_err("not finite");
    assert!(error.message().contains("is NaN in step 1") && error.message().contains("is unknown"), "{error}");
}

/// Looking takes no more than training does, under any checkpointing.
#[test]
fn looking_holds_no_more_than_training() {
    for checkpointing in Checkpointing::ALL {
        let network = network(8, 3, "group");
        network.lock().expect("no panic before").setting.checkpointing = checkpointing;
        poison(&network, "head.weight", f32::NAN);
        let mut window = None;
        add(&network, &mut window, samples(2, 64, 5));
        let peak = || network.lock().expect("no panic before").ledger.peak().total;
        let trained = peak();
        sgd().step(&window.expect("one"), 0.1).expect_err("not finite");
        assert_eq!(peak(), trained, "{checkpointing:?}");
    }
}

/// In float16 it is the loss scale's business; in bfloat16, which has none, it is an error as in float32.
#[test]
fn float16_discards_the_window() {
    for precision in [Precision::Float16, Precision::BFloat16] {
        let network = network(8, 3, "group");
        {
            let mut trainee = network.lock().expect("no panic before");
            trainee.setting = Setting { precision, ..Setting::default() };
            trainee.scale = LossScale::new(precision, LossScale::START);
        }
        poison(&network, "head.weight", f32::NAN);
        let mut window = None;
        add(&network, &mut window, samples(2, 16, 5));
        let stepped = sgd().step(&window.expect("one"), 0.1);
        let log = Log::default();
        network.lock().expect("no panic before").tell(&log, 0);
        let told = log.0.into_inner().expect("no panic before").len();
        match stepped {
            Ok(figures) => assert!(precision == Precision::Float16 && figures.skipped && told == 0),
            Err(error) => assert!(precision == Precision::BFloat16 && told == 1 && error.message().contains("head"), "{error}"),
        }
    }
}
