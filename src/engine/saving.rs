//! Saves the stages of a lane between two items, and restores them when a run resumes from there.

use std::sync::Arc;
use std::time::Instant;

use pipeline_contract::{SampleCount, Settled, Shelf, StageError};

use super::call::call;
use super::control::RunError;
use super::member::Member;
use super::position::{InputPosition, Keeper, Moment, Position, Snapshot};
use super::reader::Place;

/// Who keeps a lane's snapshots, and what of the run belongs into them.
pub struct Saving {
    pub keeper: Arc<dyn Keeper>,
    pub samples: SampleCount,
    pub settled: Settled,
}

impl Saving {
    /// Saves the lane, whose reader stands at `place` and has read so far of each input.
    ///
    /// # Errors
    /// When a stage can't be saved, or the snapshot not kept.
    pub fn keep(&self, members: &mut [Member], inputs: &[InputPosition], place: Place, moment: Moment) -> Result<(), RunError> {
        let (started, (turn, ended)) = (Instant::now(), place);
        let inputs = inputs.iter().cloned().zip(ended).map(|(input, ended)| InputPosition { ended, ..input }).collect();
        let open_ports = members.iter().map(|member| member.open_ports).collect();
        let mut stages = Vec::new();
        for member in members.iter_mut() {
            if let Some(running) = &mut member.running {
                stages.push((member.stage.to_string(), call(&member.stage, None, || running.save())?));
            }
        }
        let position = Position { inputs, turn, open_ports };
        let snapshot = Snapshot { position, samples: self.samples.all(), settled: self.settled.all(), stages };
        let last = members.last().map_or("", |member| &member.stage);
        call(last, None, || self.keeper.keep(snapshot, moment, started.elapsed().as_secs_f64()))
    }
}

/// Brings a lane's stages to where a snapshot was taken.
///
/// # Errors
/// When the snapshot is of other stages, or a stage can't be restored.
pub fn restore(members: &mut [Member], snapshot: &mut Snapshot) -> Result<(), RunError> {
    let mut shelf = Shelf::default();
    let fits = |member: &Member, open: usize| (1..=member.ports).contains(&open);
    let open = &snapshot.position.open_ports;
    if open.len() != members.len() || !members.iter().zip(open).all(|(member, &open)| fits(member, open)) {
        let stage = members.first().map_or_else(String::new, |member| member.stage.to_string());
        let cause = StageError::new("it was saved by other stages than these");
        return Err(RunError { stage, sample: None, cause, panicked: false });
    }
    for (member, &open_ports) in members.iter_mut().zip(&snapshot.position.open_ports) {
        member.open_ports = open_ports;
        let saved = snapshot.stages.iter_mut().find(|(stage, _)| **stage == *member.stage);
        // Taken, not copied: it is as large as the network.
        let saved = saved.map(|(_, saved)| std::mem::take(saved)).unwrap_or_default();
        if let Some(running) = &mut member.running {
            call(&member.stage, None, || running.restore(saved, &mut shelf))?;
        }
    }
    Ok(())
}
