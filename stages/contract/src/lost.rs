//! What the process has lost for good, such as a graphics device that was reset. The libraries behind it may learn of that on
//! threads of their own, while whoever waits for the device waits for ever; so it is told here, once for the whole process.

use std::sync::OnceLock;

use crate::StageError;

static LOST: OnceLock<StageError> = OnceLock::new();

/// Tells of a loss. The first one counts; what follows from it is no news.
pub fn tell(loss: StageError) {
    // There was one before.
    let _ = LOST.set(loss);
}

/// The loss, where one was told of.
pub fn told() -> Option<&'static StageError> {
    LOST.get()
}

/// Waits until a loss is told of.
pub fn wait() -> &'static StageError {
    LOST.wait()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_loss_counts_and_wakes_who_waits() {
        assert!(told().is_none());
        let waiting = std::thread::spawn(|| wait().to_string());
        tell(StageError::new("the device was lost"));
        tell(StageError::new("nothing can be read from it"));
        assert_eq!(waiting.join().ok().as_deref(), Some("the device was lost"));
        assert_eq!(told().map(ToString::to_string).as_deref(), Some("the device was lost"));
    }
}
