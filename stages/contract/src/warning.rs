//! What may be wrong with data that can be used all the same: stages tell of it, and the run counts, names and keeps it.

use std::borrow::Cow;
use std::sync::Arc;

use crate::events::WarningEvent;
use crate::{Events, Result, StageError};

/// Something odd about a file or a folder that may be right all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// What kind of thing it is, in one word such as `mask_share`. A run says the first of each kind in full and counts the others.
    pub kind: Cow<'static, str>,
    /// What it is about: a file, or a folder.
    pub subject: String,
    /// What was found and what to do about it; names the subject.
    pub words: String,
}

impl Doubt {
    /// A doubt of a kind about a subject.
    pub fn new(kind: impl Into<Cow<'static, str>>, subject: impl Into<String>, words: impl Into<String>) -> Self {
        Self { kind: kind.into(), subject: subject.into(), words: words.into() }
    }
}

/// Where a stage's doubts go: a line of `metrics.jsonl` and an entry of `summary.json`, or an error where the file is `strict`.
///
/// ```
/// use pipeline_contract::{BuildContext, Doubt};
///
/// let mut cx = BuildContext::standalone("decode");
/// let doubt = Doubt::new("dark", "a.png", "a.png is dark: is it a photograph?");
/// assert!(cx.warnings().tell(&doubt).is_ok());
/// cx.strict = true;
/// assert!(cx.warnings().tell(&doubt).unwrap_err().to_string().starts_with("a.png is dark"));
/// ```
#[derive(Clone)]
pub struct Warnings {
    stage: String,
    events: Arc<dyn Events>,
    strict: bool,
}

impl Warnings {
    /// Of this stage.
    pub(crate) fn new(stage: String, events: Arc<dyn Events>, strict: bool) -> Self {
        Self { stage, events, strict }
    }

    /// The same, told in the name of another stage.
    #[must_use]
    pub fn in_the_name_of(&self, stage: &str) -> Self {
        Self { stage: stage.to_owned(), ..self.clone() }
    }

    /// Tells of a doubt.
    ///
    /// # Errors
    /// Where the file is `strict`: the doubt itself.
    pub fn tell(&self, doubt: &Doubt) -> Result<()> {
        if self.strict {
            return Err(StageError::new(doubt.words.clone())
                .help("mend it, or exclude the sample; `strict` makes this warning an error"));
        }
        let Doubt { kind, subject, words } = doubt;
        let warning = WarningEvent {
            stage: self.stage.clone(),
            kind: kind.clone().into_owned(),
            subject: subject.clone(),
            message: words.clone(),
        };
        self.events.record(warning.into());
        Ok(())
    }
}
