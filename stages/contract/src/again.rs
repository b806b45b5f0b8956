//! The ids of samples that come more than once in an epoch: `17_A`, `17_A~2`, `17_A~3`. Only a source that sets the fact
//! [`REPEATED`](crate::fact::REPEATED) gives such ids.

use std::sync::Arc;

/// The id of a sample when it comes for the `time`-th time in an epoch, from 1. Later stages see each time as a sample of its own, with random numbers
/// of its own.
///
/// ```
/// use pipeline_contract::{again, first_of};
///
/// assert_eq!((&*again(&"17_A".into(), 1), &*again(&"17_A".into(), 3)), ("17_A", "17_A~3"));
/// assert_eq!((first_of("17_A"), first_of("17_A~3"), first_of("17~A")), ("17_A", "17_A", "17~A"));
/// ```
pub fn again(id: &Arc<str>, time: u32) -> Arc<str> {
    if time > 1 { format!("{id}~{time}").into() } else { id.clone() }
}

/// The id of the sample that [`again`] made this one of. What has no number of times at its end stays as it is.
pub fn first_of(id: &str) -> &str {
    match id.rsplit_once('~') {
        Some((id, time)) if !time.is_empty() && time.bytes().all(|digit| digit.is_ascii_digit()) => id,
        _ => id,
    }
}
