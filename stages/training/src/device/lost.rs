//! What a device's failures mean, and a device that is gone for good.

use pipeline_contract::{StageError, lost};

/// The words by which the libraries behind devices speak of a lost one.
const LOST: [&str; 2] = ["device is lost", "device was lost"];

/// The error that a device's words are. Once a device was lost all that is asked of it fails, in whatever words, and that is why.
pub(crate) fn failed(words: &str) -> StageError {
    hear(words);
    lost::told().cloned().unwrap_or_else(|| StageError::new(format!("the device failed: {words}")))
}

/// Tells of the loss, for the whole process, where the words are of one.
fn hear(words: &str) -> bool {
    let lower = words.to_lowercase();
    let heard = LOST.iter().any(|lost| lower.contains(lost));
    if heard {
        let help = "the system's log may say why: its driver was reset, it fell off the bus, or a launch took too long";
        lost::tell(StageError::new("the device was lost: nothing can be read from it any more").help(help));
    }
    heard
}

/// From now on, panics of libraries' threads are heard: whoever waits for such a thread is never woken.
#[cfg(feature = "graphics")]
pub(super) fn watch() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let lost = panic.payload_as_str().is_some_and(hear);
            if !lost && !super::quiet::is_answer(panic) {
                before(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, as what is lost is lost for the whole process.
    #[test]
    fn what_fails_after_a_loss_fails_of_it() {
        assert_eq!(failed("a kernel can't be compiled").to_string(), "the device failed: a kernel can't be compiled");
        let loss = failed("Error in Device::poll: Validation Error\n\nCaused by:\n  Parent device is lost\n");
        assert!(loss.to_string().starts_with("the device was lost") && loss.mend().is_some());
        assert_eq!(failed("The bytes were never written").to_string(), loss.to_string());
    }
}
