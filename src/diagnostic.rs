//! A problem in a file: how bad it is, where it is, how to fix it; for people ([`Diagnostic::render`]) and for machines
//! ([`Diagnostic::report`]). It knows no pipeline: [`crate::spec`] finds the problems.

mod render;
mod source;

use pipeline_contract::Severity;
use serde::Serialize;

pub use render::summary;
pub use source::{Location, Source, Span};

/// One problem of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where it points; `None` where the whole file is meant.
    pub span: Option<Span>,
    /// What is wrong, a lowercase fragment.
    pub message: String,
    /// How to fix it.
    pub help: Option<String>,
    /// A second place that belongs to it, and how: the place of the `${...}` that asked for the value.
    pub related: Option<Box<(Span, String)>>,
}

impl Diagnostic {
    /// A problem that keeps the file from running.
    pub fn error(span: impl Into<Option<Span>>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { severity: Severity::Error, span: span.into(), message, help: None, related: None }
    }

    /// Something that runs, but probably not as meant.
    pub fn warning(span: impl Into<Option<Span>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// Adds how to fix it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a second place, where there is one.
    #[must_use]
    pub fn related(mut self, span: Option<Span>, label: impl Into<String>) -> Self {
        self.related = span.map(|span| Box::new((span, label.into())));
        self
    }

    /// True when it keeps the file from running.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The problem with its place in lines and columns, for `validate --json`.
    pub fn report(&self, source: &Source) -> Report {
        Report {
            severity: if self.is_error() { "error" } else { "warning" },
            message: self.message.clone(),
            help: self.help.clone(),
            file: source.name_of(self.span).to_owned(),
            place: self.span.map(|span| source.location(span)),
            related: self.related.as_deref().map(|(span, label)| Related {
                message: label.clone(),
                file: source.name_of(Some(*span)).to_owned(),
                place: source.location(*span),
            }),
        }
    }
}

/// A self-contained [`Diagnostic`], without the text that it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `error` or `warning`.
    pub severity: &'static str,
    /// What is wrong.
    pub message: String,
    /// How to fix it.
    pub help: Option<String>,
    /// The file's name, or `--set`.
    pub file: String,
    /// Where in it; nothing where the whole file is meant.
    pub place: Option<Location>,
    /// A second place that has to do with it.
    pub related: Option<Related>,
}

/// The second place of a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Related {
    /// What it has to do with the problem.
    pub message: String,
    /// The file's name, or `--set`.
    pub file: String,
    /// Where in it.
    pub place: Location,
}
