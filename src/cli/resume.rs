//! `pipeline run FILE --resume`: finds the checkpoint to resume from, and compares the file with the one of that run.

use std::path::Path;

use pipeline_contract::{Registry, fact};

use crate::run::{Change, Effect, Found, compare};
use crate::spec::Pipeline;

/// What the changes of a file mean for resuming.
pub(super) enum Verdict {
    /// The run resumes, with the settings that were chosen for its memory budget then.
    AsChosen,
    /// It resumes with another result; settings are chosen again.
    Altered,
    /// It doesn't resume; the reason has been reported.
    Refused,
}

/// Reports what has changed since the checkpoint was taken, and judges it.
pub(super) fn judge(found: &Found, pipeline: &Pipeline, registry: &Registry, allow_changed: bool) -> Verdict {
    let mut facts = pipeline.graph.facts.iter().flatten();
    let whole_run = facts.any(|facts| facts.integer(fact::WHOLE_RUN).is_some());
    let (then, position) = (&found.checkpoint.asked, &found.checkpoint.snapshot.position);
    let changes = compare(then, &pipeline.resolved, position, registry, whole_run);
    let of = |effect: Effect| changes.iter().filter(|change| change.effect == effect).collect::<Vec<_>>();
    let (harmless, alters, impossible) = (of(Effect::Harmless), of(Effect::Alters), of(Effect::Impossible));
    let list = |changes: &[&Change]| changes.iter().map(|change| format!("\n  {change}")).collect::<String>();
    if !harmless.is_empty() {
        tracing::info!("changed since the checkpoint, without effect on the result:{}", list(&harmless));
    }
    if !impossible.is_empty() {
        tracing::error!(
            "the run can't resume with these changes:{}\n  help: revert them, or start a new run, which can begin with this run's \
             model.safetensors (`init`)",
            list(&impossible)
        );
        return Verdict::Refused;
    }
    match (alters.is_empty(), allow_changed) {
        (true, _) => Verdict::AsChosen,
        (false, true) => {
            tracing::warn!("resuming with changes that alter the result:{}", list(&alters));
            Verdict::Altered
        }
        (false, false) => {
            tracing::error!("these changes alter the result:{}\n  help: revert them, or pass --allow-changed", list(&alters));
            Verdict::Refused
        }
    }
}

/// Reports what the run resumes from.
pub(super) fn tell(found: &Found, folder: &Path) {
    for (path, damage) in &found.damaged {
        tracing::warn!("skipping {}: {damage}", path.display());
    }
    let file = found.path.strip_prefix(folder).unwrap_or(&found.path).display();
    let step = found.checkpoint.mark.kept.steps();
    tracing::info!("resuming from {file}, after step {step}");
}
