//! `pipeline run FILE --resume`: finds what the run goes on from, and holds the file against it.

use std::path::Path;

use pipeline_contract::{Registry, fact};

use crate::run::{Change, Effect, Found, compare};
use crate::spec::Pipeline;

/// What a file that has changed means for going on.
pub(super) enum Verdict {
    /// It goes on, with what was chosen for its memory budget then.
    AsChosen,
    /// It goes on as another run, for which is chosen anew.
    Altered,
    /// It doesn't; why has been said.
    Refused,
}

/// Says what has changed since the checkpoint was taken, and judges it.
pub(super) fn judge(found: &Found, pipeline: &Pipeline, registry: &Registry, allow_changed: bool) -> Verdict {
    let mut facts = pipeline.graph.facts.iter().flatten();
    let whole_run = facts.any(|facts| facts.integer(fact::WHOLE_RUN).is_some());
    let (then, position) = (&found.checkpoint.asked, &found.checkpoint.snapshot.position);
    let changes = compare(then, &pipeline.resolved, position, registry, whole_run);
    let of = |effect: Effect| changes.iter().filter(|change| change.effect == effect).collect::<Vec<_>>();
    let (harmless, alters, impossible) = (of(Effect::Harmless), of(Effect::Alters), of(Effect::Impossible));
    let list = |changes: &[&Change]| changes.iter().map(|change| format!("\n  {change}")).collect::<String>();
    if !harmless.is_empty() {
        tracing::info!("changed since the checkpoint, without harm to the result:{}", list(&harmless));
    }
    if !impossible.is_empty() {
        tracing::error!(
            "the run can't go on with these changes:{}\n  help: put them back, or begin a new run, which can start from its \
             model.safetensors by `init`",
            list(&impossible)
        );
        return Verdict::Refused;
    }
    match (alters.is_empty(), allow_changed) {
        (true, _) => Verdict::AsChosen,
        (false, true) => {
            tracing::warn!("the result will not be that of the run as it began:{}", list(&alters));
            Verdict::Altered
        }
        (false, false) => {
            tracing::error!("these changes alter the result:{}\n  help: put them back, or say --allow-changed", list(&alters));
            Verdict::Refused
        }
    }
}

/// Tells what the run goes on from.
pub(super) fn tell(found: &Found, folder: &Path) {
    for (path, damage) in &found.damaged {
        tracing::warn!("{} is passed over: {damage}", path.display());
    }
    let file = found.path.strip_prefix(folder).unwrap_or(&found.path).display();
    let step = found.checkpoint.mark.kept.steps();
    tracing::info!("going on from {file}, after step {step}");
}
