//! What a stage says when it can't go on. The engine adds which stage and which sample it was.

use std::any::Any;
use std::fmt;

/// The result of everything a stage does.
pub type Result<T> = std::result::Result<T, StageError>;

/// A failure in a stage: what happened (a lowercase fragment that fits "failed to ...: MESSAGE") and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageError {
    message: String,
    help: Option<String>,
    stopped: bool,
    of_sample: bool,
}

impl StageError {
    /// A failure with its cause.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, stopped: false, of_sample: false }
    }

    /// The run is ending for another reason, so this stage stops too. Not a failure of the stage.
    pub fn stopped() -> Self {
        Self { stopped: true, ..Self::new("the run is stopping") }
    }

    /// Adds how to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says that the item in hand is at fault, and that the stage is as if it had not come: it may be left out. Only a
    /// [`Sequential`](crate::Sequential) stage need say so; a [`Map`](crate::Map) keeps nothing that an item could spoil.
    #[must_use]
    pub fn of_sample(mut self) -> Self {
        self.of_sample = true;
        self
    }

    /// Puts what was being done before the cause: `context: cause`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// What happened.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How to mend it, where that is known.
    pub fn mend(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// True when the item is at fault and the stage is as if it had not come.
    pub fn is_of_sample(&self) -> bool {
        self.of_sample
    }

    /// True when the stage only stopped because the run does.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StageError {}

impl From<std::io::Error> for StageError {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// What a panic that was caught said, where it said anything.
pub fn panic_words(payload: &(dyn Any + Send)) -> Option<&str> {
    payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied())
}
