//! The error of a stage. The engine adds the stage and the sample.

use std::any::Any;
use std::fmt;

/// The result of everything a stage does.
pub type Result<T> = std::result::Result<T, StageError>;

/// A failure in a stage: what happened (a lowercase fragment that fits "failed to ...: MESSAGE") and how to fix it.
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

    /// Adds how to fix it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says that the current item is at fault and that the stage's state is unchanged, so the item may be skipped. Only a
    /// [`Sequential`](crate::Sequential) stage needs this; a [`Map`](crate::Map) has no state that an item could spoil.
    #[must_use]
    pub fn of_sample(mut self) -> Self {
        self.of_sample = true;
        self
    }

    /// Prefixes what was being done: `context: cause`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// What happened.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How to fix it, if known.
    pub fn mend(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// True when the item is at fault and the stage's state is unchanged.
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
