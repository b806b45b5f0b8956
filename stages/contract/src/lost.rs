//! What the process has lost for good, such as a graphics device that was reset. Its libraries may notice on their own
//! threads, while a thread that waits for the device waits forever; so the loss is recorded here, once for the whole process.

use std::sync::OnceLock;

use crate::StageError;

static LOST: OnceLock<StageError> = OnceLock::new();

/// Records a loss. Only the first one counts; later ones follow from it.
pub fn tell(loss: StageError) {
    // One was recorded before.
    let _ = LOST.set(loss);
}

/// The loss, if one was recorded.
pub fn told() -> Option<&'static StageError> {
    LOST.get()
}

/// Waits until a loss is recorded.
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
