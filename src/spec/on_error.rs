//! The key `on_error`: its declaration, and the policy that it becomes. The engine carries it out.

use pipeline_contract::{OptionSpec, OptionType, Variant};
use serde_json::{Value, json};

use crate::engine::{Cap, OnError};

/// The key's declaration.
pub(super) fn key() -> OptionSpec {
    let Cap { at_most, share } = Cap::default();
    let capped = |name: &'static str, doc: &'static str| {
        Variant::new(name, doc)
            .option(OptionSpec::new(
                "at_most",
                OptionType::at_least(0),
                at_most,
                "samples of the whole run; one more ends it with an error",
            ))
            .option(OptionSpec::new(
                "share",
                OptionType::share(),
                share,
                "share of the samples of each source, rounded up; one more ends the run with an error",
            ))
    };
    let policies = vec![
        Variant::new("fail", "the run ends with the first broken sample"),
        capped("skip", "broken samples are skipped and named; the next sample moves up"),
        capped("quarantine", "as skip, and they are listed in quarantine.txt, which a source can exclude"),
    ];
    OptionSpec::new(
        "on_error",
        OptionType::Variant(policies),
        json!({"fail": {}}),
        "what to do with samples that a CPU stage can't process; failures of the device always end the run",
    )
}

/// The policy of a value that fits the declaration, with its defaults.
pub(super) fn read(value: &Value) -> Option<OnError> {
    let (name, options) = value.as_object()?.iter().next()?;
    let cap = || serde_json::from_value::<Cap>(options.clone()).ok();
    match name.as_str() {
        "fail" => Some(OnError::Fail),
        "skip" => cap().map(OnError::Skip),
        "quarantine" => cap().map(OnError::Quarantine),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_is_read() {
        assert_eq!(read(&json!({"fail": {}})), Some(OnError::Fail));
        let cap = Cap { at_most: 3, share: 0.5 };
        assert_eq!(read(&json!({"skip": {"at_most": 3, "share": 0.5}})), Some(OnError::Skip(cap)));
        assert_eq!(read(&json!({"quarantine": {"at_most": 3, "share": 0.5}})), Some(OnError::Quarantine(cap)));
        let OptionType::Variant(policies) = key().ty else { panic!() };
        assert_eq!(policies.len(), 3);
    }
}
