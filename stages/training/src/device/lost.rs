//! Turns a device's failures into errors, and recognises a device that is lost for good.

use pipeline_contract::{StageError, lost};

/// Phrases in which the libraries behind devices report a lost device.
const LOST: [&str; 2] = ["device is lost", "device was lost"];

/// The error for a device's message. Once a device is lost, every request to it fails with some message, so the loss is
/// reported instead.
pub(crate) fn failed(words: &str) -> StageError {
    hear(words);
    lost::told().cloned().unwrap_or_else(|| StageError::new(format!("the device failed: {words}")))
}

/// Reports the loss to the whole process if the message describes one.
fn hear(words: &str) -> bool {
    let lower = words.to_lowercase();
    let heard = LOST.iter().any(|lost| lower.contains(lost));
    if heard {
        let help = "the system's log may say why: its driver was reset, it fell off the bus, or a launch took too long";
        lost::tell(StageError::new("the device was lost: nothing can be read from it any more").help(help));
    }
    heard
}

/// From now on, panics on the libraries' threads are checked for a lost device, because whoever waits for such a thread is
/// never woken.
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

    /// A single test, because a loss is recorded for the whole process.
    #[test]
    fn what_fails_after_a_loss_fails_of_it() {
        assert_eq!(failed("a kernel can't be compiled").to_string(), "the device failed: a kernel can't be compiled");
        let loss = failed("Error in Device::poll: Validation Error\n\nCaused by:\n  Parent device is lost\n");
        assert!(loss.to_string().starts_with("the device was lost") && loss.mend().is_some());
        assert_eq!(failed("The bytes were never written").to_string(), loss.to_string());
    }
}
