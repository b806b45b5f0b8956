//! Stages are found by what they are: kinds of other names, with options of their own besides, are planned and verified alike.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use pipeline::contract::{OptionSpec, OptionType, Registry, Role, StageKind};
use pipeline::plan::Plan;
use pipeline::spec::{Pipeline, load_text};
use serde_json::Value;

const FILE: &str = "
name: roles
seed: 3
trainer: {device: cpu, num_epochs: 1}
stages:
  - {id: eyes, use: synthetic_fundus, with: {pairs: 4, size: 48, split: train}}
  - {id: decode, use: decode}
  - {id: batch, use: batch, with: {size: 1}}
  - {id: train, use: train_step, with: {model: {unet: {base: 4, depth: 2, norm: group}}}}
  - {id: accum, use: accumulate, with: {steps: 2}}
  - {id: optim, use: optimizer_step, with: {adamw: {lr: 0.001}}}
  - {id: test_eyes, use: synthetic_fundus, with: {pairs: 2, size: 96, split: test}}
  - {id: test_decode, use: decode}
  - {id: test_batch, use: batch, with: {size: 2}}
  - {id: test, use: evaluate, needs: [optim, test_batch]}
";

/// The kind of this role that comes with the program, under another name and with one more option.
fn renamed(role: Role, name: &'static str) -> StageKind {
    let inner = pipeline_training::kinds().into_iter().find(|kind| kind.role == Some(role)).unwrap();
    let mut kind = inner.clone();
    kind.name = name;
    kind.option(OptionSpec::optional("note", OptionType::Text, "says nothing to anybody")).check(
        move |options: &Value, inputs| {
            let mut options = options.clone();
            options.as_object_mut().unwrap().remove("note");
            inner.run_check(&options, inputs).unwrap()
        },
    )
}

/// The program's registry without its own trainer, optimizer and evaluator, but others.
fn others() -> Registry {
    let replaced = [Role::Trainer, Role::Optimizer, Role::Evaluator];
    let rest = pipeline_training::kinds().into_iter().filter(|kind| kind.role.is_none_or(|role| !replaced.contains(&role)));
    let names = ["distillation", "lookahead", "benchmark"];
    Registry::new()
        .with_all(pipeline_images::kinds())
        .with_all(rest.collect::<Vec<_>>())
        .with_all(replaced.into_iter().zip(names).map(|(role, name)| renamed(role, name)).collect::<Vec<_>>())
}

fn read(text: String, registry: &Registry) -> Pipeline {
    let loaded = load_text("roles.yml", text, &[], registry);
    loaded.pipeline.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
}

fn other_file() -> String {
    let text = FILE.replace("use: train_step, with: {", "use: distillation, with: {note: mine, ");
    let text = text.replace("use: optimizer_step, with: {", "use: lookahead, with: {note: mine, ");
    text.replace("use: evaluate,", "use: benchmark, with: {note: mine},")
}

#[test]
fn a_plan_finds_trainer_optimizer_and_evaluator_of_any_name() {
    let plan = |text, registry: &Registry| Plan::of(&read(text, registry)).unwrap();
    let (own, other) = (plan(FILE.to_owned(), &pipeline::builtin()), plan(other_file(), &others()));
    assert_eq!(own.to_json(None), other.to_json(None));
    assert_eq!((other.job.optimizer, other.job.evaluation), (2, Some((2, 96, 96))));
    // The window's samples wait on the host, which only the trainer's facts tell.
    assert!(other.host.window > 0);
    let keys = other.job.keys;
    assert_eq!(
        (keys.precision.as_str(), keys.steps.as_deref()),
        ("stages.train.with.mixed_precision", Some("stages.accum.with.steps"))
    );
}

#[test]
fn a_trainer_of_another_name_is_verified() {
    let report = pipeline::window::verify(&read(other_file(), &others())).unwrap();
    assert!(report.ok(), "{report}");
}

#[test]
fn a_file_without_a_trainer_says_so() {
    let mut kinds: Vec<StageKind> = pipeline_training::kinds();
    kinds.iter_mut().for_each(|kind| kind.role = None);
    let registry = Registry::new().with_all(pipeline_images::kinds()).with_all(kinds);
    let error = pipeline::plan::job(&read(FILE.to_owned(), &registry)).unwrap_err();
    assert!(error.message().contains("no stage of this file trains a network"), "{error}");
}

#[test]
fn a_kind_declares_its_role_where_it_is_declared() {
    let registry = pipeline::builtin();
    let of = |role| registry.kinds().filter(|kind| kind.role == Some(role)).map(|kind| kind.name).collect::<Vec<_>>();
    assert_eq!(of(Role::Trainer), ["train_step"]);
    assert_eq!(of(Role::Optimizer), ["optimizer_step"]);
    assert_eq!(of(Role::Evaluator), ["evaluate", "evaluate_model"]);
    assert_eq!(of(Role::Predictor), ["predict"]);
    assert!(registry.kinds().all(|kind| kind.inputs.is_empty() == (kind.role == Some(Role::Source))));
}
