//! What looking for samples has found: whole pairs, samples that lack a part, and what is wrong with the folder as a whole.
//! Shared by the sources that read files.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pipeline_contract::events::WarningEvent;
use pipeline_contract::{BuildContext, Result, StageError};

use crate::SampleFiles;
use crate::exclude::Excluded;
use crate::listing::{Listing, natural};
use crate::pattern::Captures;
use crate::problems::Problems;
use crate::split::Division;

/// What was found so far. Samples that are excluded are as if they weren't there.
pub(crate) struct Found {
    /// Whole pairs with their ids.
    pub(crate) samples: Vec<(String, SampleFiles)>,
    /// What is wrong with all of it.
    pub(crate) problems: Problems,
    broken: Vec<(String, StageError)>,
    /// All samples with what their names say, also those that are excluded or broken: what is divided.
    seen: BTreeMap<String, Captures>,
    /// What may be behind it.
    hints: Vec<WarningEvent>,
    excluded: Excluded,
    /// Ids that another one differs from in Unicode form alone.
    twins: BTreeSet<String>,
    /// How many samples were left out because they are excluded.
    left_out: usize,
    skips_broken: bool,
}

impl Found {
    /// Nothing yet. Without `skips_broken` an incomplete sample is a problem of the whole folder.
    pub(crate) fn new(excluded: Excluded, skips_broken: bool) -> Self {
        let (samples, problems, broken, seen) = (Vec::new(), Problems::default(), Vec::new(), BTreeMap::new());
        Self { samples, problems, broken, seen, hints: Vec::new(), excluded, twins: BTreeSet::new(), left_out: 0, skips_broken }
    }

    /// Ids that another one differs from in Unicode form alone: before anything is found.
    pub(crate) fn tell_apart(&mut self, twins: impl IntoIterator<Item = String>) {
        self.twins.extend(twins);
    }

    /// A sample is there, whole or not.
    pub(crate) fn see(&mut self, id: String, captures: Captures) {
        self.seen.insert(id, captures);
    }

    /// A whole pair.
    pub(crate) fn pair(&mut self, id: String, files: SampleFiles) {
        if self.is_excluded(&id) {
            self.left_out += 1;
        } else if !self.is_broken(&id) {
            self.samples.push((id, files));
        }
    }

    /// Samples of which `what` is wrong: their ids, and what is shown of each.
    pub(crate) fn incomplete(&mut self, what: &str, mut which: Vec<(String, String)>) {
        which.retain(|(id, _)| !self.is_excluded(id));
        which.sort_by(|(_, left), (_, right)| natural(left, right));
        if !self.skips_broken {
            let names: Vec<String> = which.into_iter().map(|(_, name)| name).collect();
            return self.problems.add_names(what, &names);
        }
        for (id, name) in which {
            if !self.is_broken(&id) {
                let error = StageError::new(format!("{what}: {name}")).help("add what is missing, or exclude this sample");
                self.broken.push((id, error));
            }
        }
    }

    /// Samples of which nobody knows the files: their ids, and all those files.
    pub(crate) fn unclear(&mut self, what: &str, ids: Vec<String>, files: &str) {
        let which: Vec<(String, String)> = ids.into_iter().map(|id| (id, files.to_owned())).collect();
        let told = if self.skips_broken { which.len() } else { 1 };
        let which = which.into_iter().filter(|(id, _)| !self.is_excluded(id)).take(told).collect();
        self.incomplete(what, which);
    }

    /// Warns of what may be behind missing files, of a kind and about a folder; an error of the folder says it, too. No error where the file is strict: a folder
    /// may hold other files, such as the masks of a second observer.
    pub(crate) fn hint(&mut self, kind: &str, folder: &Path, message: impl Into<String>) {
        let (stage, kind, subject, message) = (String::new(), kind.to_owned(), folder.display().to_string(), message.into());
        self.hints.push(WarningEvent { stage, kind, subject, message });
    }

    /// Whether a sample is excluded.
    pub(crate) fn is_excluded(&self, id: &str) -> bool {
        if self.twins.contains(id) { self.excluded.holds_exactly(id) } else { self.excluded.holds(id) }
    }

    /// What is wrong with one sample is told once: a file that is there twice may lack its partner, too.
    pub(crate) fn is_broken(&self, id: &str) -> bool {
        self.broken.iter().any(|(broken, _)| broken == id)
    }

    /// True when nothing was found of which a sample could be made, whole or not.
    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.broken.is_empty() && self.left_out == 0
    }

    /// The first `limit` pairs of the wanted part in natural order as a source, or everything that is wrong.
    pub(crate) fn listing(
        mut self,
        help: &str,
        division: Option<&Division>,
        limit: Option<usize>,
        shuffle: bool,
        cx: &BuildContext,
    ) -> Result<Listing> {
        let hints: Vec<&str> = self.hints.iter().map(|hint| hint.message.as_str()).chain([help]).collect();
        self.problems.finish(&hints.join("; "))?;
        for hint in self.hints {
            cx.events.record(WarningEvent { stage: cx.stage.clone(), ..hint }.into());
        }
        if let Some(division) = division {
            let keeps = division.keeps(&self.seen)?;
            self.samples.retain(|(id, _)| keeps.holds(id));
            self.broken.retain(|(id, _)| keeps.holds(id));
            if self.samples.is_empty() && self.broken.is_empty() {
                let name = keeps.name();
                return Err(StageError::new(format!("`exclude` leaves nothing of part {name}")).help("shorten the list"));
            }
        }
        if self.samples.is_empty() && self.broken.is_empty() {
            let known = self.left_out;
            return Err(StageError::new(format!("`exclude` leaves none of the {known} pairs")).help("shorten the list"));
        }
        self.samples.sort_by(|(left, _), (right, _)| natural(left, right));
        self.broken.sort_by(|(left, _), (right, _)| natural(left, right));
        if let Some(limit) = limit.filter(|&limit| limit < self.samples.len()) {
            self.samples.truncate(limit);
            let last = self.samples.last().map(|(id, _)| id.clone()).unwrap_or_default();
            self.broken.retain(|(id, _)| natural(id, &last) == Ordering::Less);
        }
        Ok(Listing::new(self.samples, shuffle, cx).with_broken(self.broken))
    }
}
