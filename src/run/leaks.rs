//! Finds samples that are both trained and measured on, before a run: the same file, or the same content in another one. Which sources
//! feed what, the graph's roles say; what a sample shows, its source says.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use petgraph::graph::NodeIndex;
use pipeline_contract::events::Leak;
use pipeline_contract::{BuildContext, Content, Fingerprint, Result, Role, StageError, Stored, files};
use serde_json::Value;

use super::fingerprints::{Read, Wanted, fingerprints};
use crate::graph::Stage;
use crate::spec::{OnLeaks, Pipeline};

/// More are counted.
const MOST_TOLD: usize = 20;

/// The samples that are both trained and measured on, or measured on twice. The latter are only warned of; of the former a run is refused
/// unless `trainer.leaks` says `warn`. Files are read once, and then known from the user's cache folder.
///
/// # Errors
/// What is to be left out of which source, in the line that does it.
pub fn leaks(pipeline: &Pipeline) -> Result<Vec<Leak>> {
    let started = Instant::now();
    let graph = &pipeline.graph;
    // Micro-batches and test batches are the last input of whoever takes them.
    let feeding = |role: Role| -> BTreeSet<NodeIndex> {
        let port = |node| graph.stage(node).kind.inputs.len().saturating_sub(1);
        graph.of_role(role).flat_map(|node| graph.sources_into(node, port(node))).collect()
    };
    let (training, measured) = (feeding(Role::Trainer), feeding(Role::Evaluator));
    let list = |nodes: &BTreeSet<NodeIndex>| nodes.iter().filter_map(|&node| Listed::of(pipeline, node)).collect::<Vec<_>>();
    let (training, measured) = (list(&training), list(&measured));
    if measured.is_empty() || training.len() + measured.len() < 2 {
        return Ok(Vec::new());
    }
    let marks = Marks::of(training.iter().chain(&measured));
    let (mut leaks, mut twice) = (Vec::new(), Vec::new());
    for (at, test) in measured.iter().enumerate() {
        training.iter().for_each(|train| leaks.extend(train.shared(test, &marks)));
        measured[..at].iter().for_each(|before| twice.extend(before.shared(test, &marks)));
    }
    let count = |sources: &[Listed]| sources.iter().map(|source| source.contents.len()).sum::<usize>();
    if marks.files > 0 && !training.is_empty() {
        tracing::info!(
            "compared {} samples to train on with {} to measure on, {} files in {:.1} s",
            count(&training),
            count(&measured),
            marks.files,
            started.elapsed().as_secs_f64()
        );
    }
    if !twice.is_empty() {
        let text = told(&twice, "measured on in two sources");
        if pipeline.settings.strict {
            return Err(
                StageError::new(text).help("leave them out of one of the sources; `strict` makes this warning an error")
            );
        }
        tracing::warn!("{text}");
    }
    if !leaks.is_empty() {
        let text = told(&leaks, "trained on and measured on");
        match pipeline.settings.leaks {
            OnLeaks::Refuse => return Err(StageError::new(text).help(mend(&leaks, &training))),
            OnLeaks::Warn if pipeline.settings.strict => return Err(StageError::new(text).help(mend(&leaks, &training))),
            OnLeaks::Warn => tracing::warn!("{text}"),
        }
    }
    leaks.extend(twice);
    Ok(leaks)
}

/// A source whose samples are known.
struct Listed<'a> {
    stage: &'a Stage,
    contents: Vec<Content>,
}

impl<'a> Listed<'a> {
    /// `None` of a source that doesn't say what its samples are made of, or can't list them: the run itself will say why.
    fn of(pipeline: &'a Pipeline, node: NodeIndex) -> Option<Self> {
        let (graph, settings) = (&pipeline.graph, &pipeline.settings);
        let stage = graph.stage(node);
        let cx = BuildContext {
            seed: settings.seed,
            epochs: settings.epochs,
            facts: graph.facts[node.index()].clone(),
            skips_broken: settings.on_error.cap().is_some(),
            ..BuildContext::standalone(stage.id.clone())
        };
        // What a source says of its folders it will say again when it runs.
        let quiet = tracing::subscriber::NoSubscriber::default();
        let listed = tracing::subscriber::with_default(quiet, || stage.kind.list_contents(stage.options.clone(), &cx));
        Some(Self { stage, contents: listed.ok()?? })
    }

    /// The samples that another source has too, each with the first one that it has been found as.
    fn shared(&self, other: &Self, marks: &Marks) -> Vec<Leak> {
        let mut known: HashMap<&Mark, &Arc<str>> = HashMap::new();
        for content in other.contents.iter().rev() {
            known.extend(marks.of_sample(&content.sample, other.stage).map(|mark| (mark, &content.sample)));
        }
        let leak = |content: &Content| {
            let found = |mark| known.get(mark).map(|sample| (mark, *sample));
            let (mark, sample) = marks.of_sample(&content.sample, self.stage).find_map(found)?;
            Some(Leak {
                source: self.stage.id.clone(),
                sample: content.sample.to_string(),
                other_source: other.stage.id.clone(),
                other_sample: sample.to_string(),
                same: mark.same().to_owned(),
            })
        };
        self.contents.iter().filter_map(leak).collect()
    }
}

/// Something that two samples may have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Mark {
    File(PathBuf),
    Content(&'static str, Fingerprint),
}

impl Mark {
    /// What is the same, in a word.
    fn same(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Content(name, _) => name,
        }
    }
}

/// What each sample may have in common with others, files first.
struct Marks {
    of: HashMap<(String, Arc<str>), Vec<Mark>>,
    /// How many files were looked at.
    files: usize,
}

impl Marks {
    fn of<'a>(sources: impl Iterator<Item = &'a Listed<'a>> + Clone) -> Self {
        // One file has one path, whatever links lead to it.
        let (mut paths, mut readers) = (HashMap::new(), HashMap::new());
        let parts = || sources.clone().flat_map(|source| &source.contents).flat_map(|content| &content.parts);
        for part in parts() {
            if let Stored::File { path, .. } = &part.stored {
                paths.entry(path).or_insert_with(|| fs::canonicalize(path).unwrap_or_else(|_| path.clone()));
            }
        }
        for part in parts() {
            if let Stored::File { path, read } = &part.stored {
                readers.insert(Wanted { name: part.name, path: &paths[path] }, *read as Read);
            }
        }
        let read = fingerprints(&files::cache(), &readers);
        let mut of: HashMap<_, Vec<Mark>> = HashMap::new();
        for source in sources.clone() {
            for content in &source.contents {
                let marks = of.entry((source.stage.id.clone(), content.sample.clone())).or_default();
                for part in &content.parts {
                    match &part.stored {
                        Stored::Computed(fingerprint) => marks.push(Mark::Content(part.name, *fingerprint)),
                        Stored::File { path, .. } => match &read[&Wanted { name: part.name, path: &paths[path] }] {
                            Ok(None) => {}
                            Ok(Some(fingerprint)) => {
                                marks.insert(0, Mark::File(paths[path].clone()));
                                marks.push(Mark::Content(part.name, *fingerprint));
                            }
                            // A broken file is the run's business; that it stands on both sides is ours.
                            Err(error) => {
                                tracing::debug!("not compared: {error}");
                                marks.insert(0, Mark::File(paths[path].clone()));
                            }
                        },
                    }
                }
            }
        }
        Self { of, files: readers.len() }
    }

    fn of_sample(&self, sample: &Arc<str>, stage: &Stage) -> impl Iterator<Item = &Mark> {
        self.of.get(&(stage.id.clone(), sample.clone())).into_iter().flatten()
    }
}

/// What was found, for people.
fn told(leaks: &[Leak], what: &str) -> String {
    let mut text = match leaks.len() {
        1 => format!("a sample is {what}:"),
        count => format!("{count} samples are {what}:"),
    };
    for Leak { source, sample, other_source, other_sample, same } in leaks.iter().take(MOST_TOLD) {
        text += &format!("\n  {sample} and {other_sample}: the same {same} (in `{source}` and `{other_source}`)");
    }
    if let Some(more) = leaks.len().checked_sub(MOST_TOLD).filter(|&more| more > 0) {
        text += &format!("\n  and {more} more");
    }
    text
}

/// How to leave them out of the sources that train.
fn mend(leaks: &[Leak], training: &[Listed<'_>]) -> String {
    let mut mends: Vec<String> = training.iter().filter_map(|source| leave_out(leaks, source)).collect();
    mends.push("or set `trainer: {leaks: warn}` to train on them all the same".into());
    mends.join("\n  ")
}

fn leave_out(leaks: &[Leak], Listed { stage, contents }: &Listed<'_>) -> Option<String> {
    let id = &stage.id;
    let leaking: BTreeSet<&str> = leaks.iter().filter(|leak| leak.source == *id).map(|leak| leak.sample.as_str()).collect();
    if leaking.is_empty() {
        return None;
    }
    if leaking.len() == contents.len() {
        return Some(format!(
            "everything that `{id}` trains on is measured on: give it other samples, such as another `split` or `part`"
        ));
    }
    // In the order of the source.
    let leaking: Vec<&str> =
        contents.iter().map(|content| &*content.sample).filter(|sample| leaking.contains(sample)).collect();
    if stage.kind.options.iter().all(|option| option.name != "exclude") {
        return Some(format!("take them out of `{id}`: {}", leaking.join(", ")));
    }
    Some(match stage.options.get("exclude") {
        Some(Value::String(file)) => format!("add to {file}, a line each: {}", leaking.join(", ")),
        given => {
            let given = given.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            let list: Vec<String> = given.chain(leaking).map(scalar).collect();
            format!("leave them out of `{id}`, under `with`: exclude: [{}]", list.join(", "))
        }
    })
}

/// A name as YAML reads it back as text.
fn scalar(name: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/_.-".contains(letter);
    // A number or one of YAML's words has no such letter between others.
    let is_name = name.contains(['/', '_']) && name.contains(|letter: char| letter.is_ascii_alphabetic());
    match is_name && name.starts_with(|letter: char| letter.is_ascii_alphanumeric()) && name.chars().all(plain) {
        true => name.to_owned(),
        false => Value::from(name).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_as_the_text_that_they_are() {
        for name in
            ["train/17_A", "17_A", "01_L", "17", "1_000", "0x1f", "true", "a: b", "a]", "", "'", "ü/1", "- a", "1e5", "~"]
        {
            let list: Vec<Value> = serde_saphyr::from_str(&format!("[{}]", scalar(name))).unwrap();
            assert_eq!(list, [Value::from(name)]);
        }
        assert_eq!(scalar("train/17_A"), "train/17_A", "plain where it can be");
    }

    #[test]
    fn many_are_counted() {
        let leak = |at: usize| Leak {
            source: "files".into(),
            sample: format!("train/{at}_A"),
            other_source: "test_files".into(),
            other_sample: format!("test/{at}_A"),
            same: "mask".into(),
        };
        let text = told(&(0..25).map(leak).collect::<Vec<_>>(), "trained on and measured on");
        assert!(
            text.starts_with("25 samples are trained on and measured on:\n  train/0_A and test/0_A: the same mask"),
            "{text}"
        );
        assert!(text.ends_with("and 5 more") && text.lines().count() == 22, "{text}");
    }
}
