//! The runs of a cross-validation in one folder: which of them are done, and their figures together in `folds.json`. It starts no run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pipeline_contract::events::{EvalEvent, Event, Fields, Line, Named};
use pipeline_contract::{Registry, files};
use serde::Serialize;
use serde_json::Value;

use super::changes::{Change, Effect, compare};
use crate::engine::Position;

/// What the folds were begun with.
const ASKED: &str = "asked.json";

/// The folder of a fold's run, below that of all folds.
pub fn folder(out: &Path, fold: usize) -> PathBuf {
    out.join(format!("fold_{fold}"))
}

/// Opens the folder of all folds, or makes it. `asked` is the resolved file, the same for all folds. The changes that would give some
/// folds another result than others; then nothing is written.
///
/// # Errors
/// When it can't be read or written, or has files of something else.
pub fn open(out: &Path, asked: &Value, registry: &Registry) -> io::Result<Vec<Change>> {
    fs::create_dir_all(out)?;
    let (path, text) = (out.join(ASKED), format!("{asked:#}\n"));
    let before = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        bytes => Some(serde_json::from_slice::<Value>(&bytes?)?),
    };
    let Some(before) = before else {
        // Half-written files of a killed program don't count.
        files::sweep(out)?;
        if fs::read_dir(out)?.next().is_some() {
            let message = format!("it has files, but no {ASKED} of earlier folds: name an empty folder");
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        files::replace(&path, text.as_bytes())?;
        return Ok(Vec::new());
    };
    // Numbers as they come out of a file.
    let now: Value = serde_json::from_str(&text)?;
    let nothing = Position { inputs: Vec::new(), turn: (0, 0), open_ports: Vec::new() };
    let mut changes = compare(&before, &now, &nothing, registry, false);
    changes.retain(|change| change.effect != Effect::Harmless || change.key == "trainer.num_epochs");
    Ok(changes)
}

/// What a fold's run came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fold {
    /// Its number, from 0.
    pub fold: usize,
    /// The epoch of its figures: of the last evaluation, or the best one by the validation part.
    pub epoch: u64,
    /// How many images were measured.
    pub images: u64,
    /// The figures of the evaluator on the test part in that epoch, as its `summary.json` has them.
    pub figures: Named<Option<f64>>,
    /// The digest of its weights, as its `summary.json` has it; `None` where none were written.
    pub weights_sha256: Option<String>,
}

impl Fold {
    /// The fold in this folder if its run is complete and was evaluated. `None` otherwise, also where its summary is damaged.
    pub fn done(out: &Path, fold: usize) -> Option<Self> {
        let summary = summary(out, fold)?;
        let line = reported(&summary)?;
        let Event::Eval(EvalEvent { epoch, metrics, images, .. }) = line.event else { return None };
        let weights_sha256 = summary.get("weights_sha256").and_then(Value::as_str).map(str::to_owned);
        Some(Self { fold, epoch, images, figures: metrics, weights_sha256 })
    }
}

/// The evaluation that a run is reported by: what was measured on the test part in the epoch that another part chose as the best; where nothing but
/// the test part could have chosen, the last evaluation.
fn reported(summary: &Fields) -> Option<Line> {
    let line = |value: &Value| serde_json::from_value::<Line>(value.clone()).ok();
    let part = |line: &Line| line.evaluation().and_then(|eval| eval.part.clone());
    let chosen = || {
        let best = summary.get("best")?;
        let (of, evals) = (best.get("of")?.as_str()?, best.get("evals")?.as_object()?);
        let chose = line(evals.get(of)?)?;
        let others = evals.iter().filter(|(id, _)| id.as_str() != of).filter_map(|(_, value)| line(value));
        let test = others.into_iter().find(|line| part(line).as_deref() == Some("test"))?;
        (part(&chose).as_deref() != Some("test")).then_some(test)
    };
    chosen().or_else(|| line(summary.get("eval")?))
}

/// Whether a fold's run is complete.
pub fn is_done(out: &Path, fold: usize) -> bool {
    summary(out, fold).is_some()
}

/// The summary of a complete run.
fn summary(out: &Path, fold: usize) -> Option<Fields> {
    let summary: Fields = serde_json::from_slice(&fs::read(folder(out, fold).join("summary.json")).ok()?).ok()?;
    (summary.get("status")?.as_str()? == "complete").then_some(summary)
}

/// All folds that are done, together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Folds {
    /// The pipeline's name.
    pub name: String,
    /// How many folds there are.
    pub folds: usize,
    /// Those that are done.
    pub done: Vec<Fold>,
    /// The mean of each figure over them; `None` where a fold lacks it.
    pub mean: Named<Option<f64>>,
    /// The sample standard deviation of each, with one less than the number of folds as divisor; `None` where a fold lacks it, and of one
    /// fold.
    pub standard_deviation: Named<Option<f64>>,
}

impl Folds {
    /// Of all folds that are done in a folder.
    pub fn of(name: &str, out: &Path, folds: usize) -> Self {
        let done: Vec<Fold> = (0..folds).filter_map(|fold| Fold::done(out, fold)).collect();
        let (mut mean, mut standard_deviation) = (Named::default(), Named::default());
        for (figure, _) in done.first().map(|fold| fold.figures.iter()).into_iter().flatten() {
            let values: Option<Vec<f64>> = done.iter().map(|fold| fold.figures.get(figure).copied().flatten()).collect();
            mean.push(figure, values.as_deref().map(self::mean));
            standard_deviation.push(figure, values.as_deref().and_then(deviation));
        }
        Self { name: name.to_owned(), folds, done, mean, standard_deviation }
    }

    /// Writes `folds.json`, whole or not at all.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, out: &Path) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        files::replace(&out.join("folds.json"), (text + "\n").as_bytes())
    }

    /// A line for each fold, mean and deviation, a column for each figure; empty where nothing was measured.
    pub fn table(&self) -> String {
        let Some(first) = self.done.first() else { return String::new() };
        let names: Vec<&str> = first.figures.iter().map(|(name, _)| name).collect();
        let row = |title: &str, figures: &Named<Option<f64>>| {
            let cells = names.iter().map(|name| {
                let figure = figures.get(name).copied().flatten().map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
                format!("  {figure:>0$}", name.len().max(6))
            });
            format!("{title:<9}{}\n", cells.collect::<String>())
        };
        let head: String = names.iter().map(|name| format!("  {name:>6}")).collect();
        let mut text = format!("{:<9}{head}\n", "fold");
        self.done.iter().for_each(|fold| text += &row(&fold.fold.to_string(), &fold.figures));
        text + &row("mean", &self.mean) + &row("std. dev.", &self.standard_deviation)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sample standard deviation: the square root of the sum of squared distances from the mean over n - 1.
fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn write(out: &Path, fold: usize, summary: Value) {
        fs::create_dir_all(folder(out, fold)).unwrap();
        fs::write(folder(out, fold).join("summary.json"), summary.to_string()).unwrap();
    }

    #[test]
    fn figures_of_done_folds_are_averaged() {
        let out = tempfile::tempdir().unwrap();
        let eval = |dice: f64, auc: Value| json!({"event": "eval", "seconds": 1.0, "epoch": 3, "dice": dice, "auc": auc, "images": 4, "device_bytes_peak": null});
        write(out.path(), 0, json!({"status": "complete", "eval": eval(0.5, json!(0.75)), "weights_sha256": "ab"}));
        write(out.path(), 1, json!({"status": "complete", "eval": eval(0.75, json!(null))}));
        write(out.path(), 2, json!({"status": "interrupted", "eval": eval(0.1, json!(0.1))}));
        write(out.path(), 4, json!({"status": "complete", "eval": eval(1.0, json!(0.25))}));
        fs::write(folder(out.path(), 4).join("summary.json"), "{").unwrap();
        assert_eq!((0..6).map(|fold| is_done(out.path(), fold)).collect::<Vec<_>>(), [true, true, false, false, false, false]);
        write(out.path(), 4, json!({"status": "complete", "eval": eval(1.0, json!(0.25))}));
        // What the validation part chose, measured on the test part; the test part's own choice counts for nothing.
        let of = |stage: &str, part: &str, dice: f64| {
            let mut eval = eval(dice, json!(0.5));
            eval["stage"] = json!(stage);
            eval["part"] = json!(part);
            eval
        };
        for (choosing, dice) in [("validation", 0.7), ("test", 0.1)] {
            let best = json!({"epoch": 3, "metric": "dice", "of": "v", "value": 0.9, "evals": {"v": of("v", choosing, 0.9), "t": of("t", "test", 0.7)}});
            write(out.path(), 5, json!({"status": "complete", "eval": of("v", choosing, 0.1), "best": best}));
            assert_eq!(Fold::done(out.path(), 5).unwrap().figures.get("dice"), Some(&Some(dice)), "{choosing}");
        }
        let folds = Folds::of("x", out.path(), 5);
        assert_eq!(folds.done.iter().map(|fold| fold.fold).collect::<Vec<_>>(), [0, 1, 4]);
        assert_eq!((folds.mean.get("dice"), folds.mean.get("auc")), (Some(&Some(0.75)), Some(&None)));
        assert_eq!(folds.standard_deviation.get("dice"), Some(&Some(0.25)));
        folds.write(out.path()).unwrap();
        let written: Value = serde_json::from_slice(&fs::read(out.path().join("folds.json")).unwrap()).unwrap();
        assert_eq!((&written["done"][0]["figures"]["dice"], &written["mean"]["dice"]), (&json!(0.5), &json!(0.75)));
        let table = folds.table();
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["fold", "dice", "auc"]);
        assert_eq!((lines[2].as_slice(), lines[4].as_slice()), (&["1", "0.7500", "-"][..], &["mean", "0.7500", "-"][..]));
        assert_eq!(deviation(&[0.5]), None);
        assert_eq!(Folds::of("x", &out.path().join("none"), 5).table(), "");
    }

    #[test]
    fn folds_of_one_folder_are_of_one_file() {
        let (parent, registry) = (tempfile::tempdir().unwrap(), crate::builtin());
        let out = parent.path().join("a");
        let asked = |lr: f64, epochs: u64, workers: u64| {
            json!({"trainer": {"num_epochs": epochs}, "stages": [
                {"id": "optim", "use": "optimizer_step", "with": {"clip_norm": lr}, "workers": workers}]})
        };
        assert!(open(&out, &asked(0.15, 2, 1), &registry).unwrap().is_empty());
        assert!(open(&out, &asked(0.15, 2, 4), &registry).unwrap().is_empty(), "workers are harmless");
        let keys = |asked| open(&out, &asked, &registry).unwrap().into_iter().map(|change| change.key).collect::<Vec<_>>();
        assert_eq!(keys(asked(0.2, 2, 1)), ["stages.optim.with.clip_norm"]);
        assert_eq!(keys(asked(0.15, 3, 1)), ["trainer.num_epochs"], "folds that are done have fewer epochs");
        fs::write(parent.path().join("mine.txt"), "").unwrap();
        assert!(open(parent.path(), &asked(0.1, 2, 1), &registry).unwrap_err().to_string().contains("no asked.json"));
    }
}
