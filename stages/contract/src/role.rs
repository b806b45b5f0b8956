//! What a stage is in a training. The program finds stages by their role, never by the name of their kind or of a port.
//! Which samples and tensors a stage handles is the business of its ports.

/// What a stage is in a training. A kind declares it with [`StageKind::role`](crate::StageKind::role); kinds that nothing looks for
/// declare none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Emits the samples of each epoch. [`StageKind::source`](crate::StageKind::source) declares it.
    Source,
    /// Owns the network and computes loss and gradients of micro-batches. Its first input takes the micro-batches. A plan reads the
    /// network and the policies from its options: those that the training crate's own trainer declares. More options are its own.
    Trainer,
    /// Changes the weights, once per window of micro-batches. A plan reads from its options what it keeps for each weight: those of the
    /// training crate's own optimizer. More options are its own.
    Optimizer,
    /// Measures the network at the end of every epoch and reports the kind's [metrics](crate::Metric). Its last input takes the test
    /// batches. Where it measures less often, its option `every` says after how many epochs; the sources of its batches rest in between.
    Evaluator,
    /// Uses a network that was trained before, on the items of its first input. Nothing is trained or compared. Its option
    /// `overlays` says whether it draws on photographs (true by default), `field_of_view` whether it looks for their discs (false).
    Predictor,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [Self::Source, Self::Trainer, Self::Optimizer, Self::Evaluator, Self::Predictor];

    /// Its name, for people and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Trainer => "trainer",
            Self::Optimizer => "optimizer",
            Self::Evaluator => "evaluator",
            Self::Predictor => "predictor",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Role::ALL.into_iter().map(Role::name).collect();
        assert_eq!(names.len(), Role::ALL.len());
    }
}
