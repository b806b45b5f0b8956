//! `pipeline run FILE --folds all`: a run for each fold of the file's `split`, one after the other, each in a folder of its own. The same
//! command goes on where it was stopped or killed.

use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use pipeline_contract::{Registry, Result, Role, StageError};
use serde_json::{Value, json};

use super::run;
use super::{exit, output, signals};
use crate::run::{folds, leaks};
use crate::spec::{self, Pipeline};

/// Runs a pipeline from its file: once, or once for each fold.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Opts {
    #[command(flatten)]
    pub(super) run: run::Opts,
    /// Trains each of these folds of the sources' `split` in a folder of its own in --out: all, or numbers such as 0,2. The same command
    /// goes on where it was stopped.
    #[arg(long, value_name = "FOLDS", requires = "out", conflicts_with = "allow_changed")]
    folds: Option<Wanted>,
}

/// Which folds are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    All,
    /// These, from 0.
    Some(Vec<usize>),
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        let numbers: std::result::Result<Vec<usize>, _> = text.split(',').map(|number| number.trim().parse()).collect();
        let mut numbers = numbers.map_err(|_| "write all, or numbers from 0 with commas between: 0,2".to_owned())?;
        numbers.sort_unstable();
        numbers.dedup();
        Ok(Self::Some(numbers))
    }
}

/// Runs the command.
pub fn cmd(opts: &Opts, registry: &Registry, color: bool, quiet: bool) -> ExitCode {
    let Opts { run: opts, folds: wanted } = opts;
    let (Some(wanted), Some(out)) = (wanted, opts.out.as_deref()) else { return run::cmd(opts, registry, color, quiet) };
    let loaded = spec::load(&opts.file, &opts.set, registry);
    output::show_problems(&loaded, color);
    let Some(pipeline) = loaded.pipeline else { return exit::PROBLEMS.into() };
    match Folds::of(&pipeline).and_then(|folds| folds.run(opts, wanted, out, &pipeline, registry, quiet)) {
        Ok(code) => code.into(),
        Err(error) => {
            let help = error.mend().map(|mend| format!("\n  help: {mend}")).unwrap_or_default();
            tracing::error!("can't run the folds of {}: {error}{help}", opts.file.display());
            exit::FAILED.into()
        }
    }
}

/// The folds of a file.
struct Folds {
    count: usize,
    /// Each `split` into folds: its key as `--set` names it, and the file's value.
    splits: Vec<(String, Value)>,
}

/// Adds every `split` into folds among these options of a stage, also those of the sources in a mix.
fn find(options: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    for (name, value) in options.as_object().into_iter().flatten() {
        let inner = format!("{path}.{name}");
        match name == "split" && value.get("folds").is_some() {
            true => found.push((inner, value.clone())),
            false => find(value, &inner, found),
        }
    }
}

impl Folds {
    /// Finds the sources whose `split` has `folds`.
    fn of(pipeline: &Pipeline) -> Result<Self> {
        let graph = &pipeline.graph;
        let mut splits: Vec<(String, Value)> = Vec::new();
        let resolved = pipeline.resolved.get("stages").and_then(Value::as_array);
        for node in graph.of_role(Role::Source) {
            let id = &graph.stage(node).id;
            let stage = resolved.into_iter().flatten().find(|stage| stage.get("id").and_then(Value::as_str) == Some(id));
            if let Some(options) = stage.and_then(|stage| stage.get("with")) {
                find(options, &format!("stages.{id}.with"), &mut splits);
            }
        }
        let Some((first, split)) = splits.first() else {
            return Err(StageError::new("no source is divided into folds").help(
                "add `split: {folds: 5, seed: 7}, part: train` to the source that trains, and the same with `part: test` to the one \
                 that is measured",
            ));
        };
        for (key, other) in &splits[1..] {
            if let Some(option) = ["folds", "seed"].into_iter().find(|option| split.get(option) != other.get(option)) {
                let value = |split: &Value| split.get(option).map_or_else(|| "none".to_owned(), Value::to_string);
                let place = |key: &str| {
                    key.trim_start_matches("stages.").trim_end_matches(".split").trim_end_matches(".with").to_owned()
                };
                let message = format!(
                    "`split.{option}` is {} in `{}` and {} in `{}`",
                    value(split),
                    place(first),
                    value(other),
                    place(key)
                );
                return Err(StageError::new(message).help("give all sources the same, such as `split: ${dataset.split}`"));
            }
        }
        let count = split.get("folds").and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        Ok(Self { count, splits })
    }

    /// The overrides that make the file that of one fold. `split` is set whole, since it may be a reference in the file.
    fn overrides(&self, fold: usize) -> Vec<String> {
        let with_fold = |split: &Value| {
            let mut split = split.clone();
            split["fold"] = json!(fold);
            split
        };
        self.splits.iter().map(|(key, split)| format!("{key}={}", with_fold(split))).collect()
    }

    fn run(
        &self,
        opts: &run::Opts,
        wanted: &Wanted,
        out: &Path,
        pipeline: &Pipeline,
        registry: &Registry,
        quiet: bool,
    ) -> Result<u8> {
        let wanted = match wanted {
            Wanted::All => (0..self.count).collect(),
            Wanted::Some(numbers) => numbers.clone(),
        };
        if let Some(fold) = wanted.iter().find(|fold| **fold >= self.count) {
            let message = format!("there is no fold {fold} among {}: they count from 0", self.count);
            return Err(StageError::new(message).help(format!("choose 0 to {}", self.count - 1)));
        }
        let load = |fold: usize| -> Result<(run::Opts, Pipeline)> {
            let set = opts.set.iter().cloned().chain(self.overrides(fold)).collect();
            let opts = run::Opts { set, out: Some(folds::folder(out, fold)), resume: true, ..opts.clone() };
            let pipeline = spec::load(&opts.file, &opts.set, registry).pipeline;
            Ok((
                opts,
                pipeline.ok_or_else(|| StageError::new(format!("fold {fold} doesn't fit the file")).help("this is a bug"))?,
            ))
        };
        let place = |error| StageError::new(format!("the folder of the folds {} can't be used: {error}", out.display()));
        // The file of all folds is that of the first.
        let changes = folds::open(out, &load(0)?.1.resolved, registry).map_err(place)?;
        if !changes.is_empty() {
            let list: String = changes.iter().map(|change| format!("\n  {change}")).collect();
            return Err(StageError::new(format!("the folds in {} were begun with other settings:{list}", out.display())).help(
                "revert these changes, or name another --out: figures of folds are only comparable under the same settings",
            ));
        }
        let undone: Vec<usize> = wanted.iter().copied().filter(|fold| !folds::is_done(out, *fold)).collect();
        // A leak in the last fold is found before the first is trained; each run says what else there is to say.
        for fold in &undone {
            let pipeline = load(*fold)?.1;
            let quiet = tracing::subscriber::NoSubscriber::default();
            tracing::subscriber::with_default(quiet, || leaks(&pipeline))
                .map_err(|error| error.context(format!("fold {fold}")))?;
        }
        for fold in wanted {
            if !undone.contains(&fold) {
                tracing::info!("fold {fold} is done");
                continue;
            }
            if let Some(asked) = signals::asked() {
                return Ok(asked.exit(true));
            }
            tracing::info!("fold {fold} of {} (from 0)", self.count);
            let (opts, pipeline) = load(fold)?;
            let code = run::one(pipeline, &opts, registry, quiet);
            if code != exit::DONE {
                tracing::info!("the same command goes on with fold {fold}");
                return Ok(code);
            }
        }
        let all = folds::Folds::of(&pipeline.name, out, self.count);
        all.write(out).map_err(place)?;
        output::answer(&all.table(), exit::DONE);
        tracing::info!("results are in {}", out.join("folds.json").display());
        Ok(exit::DONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_are_all_or_some_each_once() {
        assert_eq!("all".parse(), Ok(Wanted::All));
        assert_eq!("2, 0,2".parse(), Ok(Wanted::Some(vec![0, 2])));
        for text in ["", "al", "0,,1", "-1", "0;1"] {
            assert!(text.parse::<Wanted>().unwrap_err().contains("0,2"), "{text}");
        }
    }

    #[test]
    fn the_sources_of_a_mix_are_divided_too() {
        let (text, registry) = (include_str!("../../pipelines/fives_and_chase.yml"), crate::builtin());
        let load = |set: &[String]| spec::load_text("mix.yml", text.to_owned(), set, &registry).pipeline.unwrap();
        let folds = Folds::of(&load(&[])).unwrap();
        let of = |id: &str| format!("stages.{id}.with.sources.CHASE_DB1.from.image_pairs.split");
        let keys: Vec<&String> = folds.splits.iter().map(|(key, _)| key).collect();
        let all = ["files", "val_files", "test_files"].map(of);
        assert!(folds.count == 5 && keys.len() == 3 && all.iter().all(|key| keys.contains(&key)), "{keys:?}");
        let resolved = load(&folds.overrides(3)).resolved;
        for at in [0, 8, 13] {
            let from = &resolved["stages"][at]["with"]["sources"]["CHASE_DB1"]["from"]["image_pairs"];
            assert_eq!(from["split"]["fold"], 3, "{}", resolved["stages"][at]);
        }
    }
}
