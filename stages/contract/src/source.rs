//! A stage that emits samples: the head of every pipeline.
//! Authors implement this trait; the engine calls it as an [`ErasedSource`](crate::ErasedSource).

use std::sync::Arc;

use crate::{Output, Payload, Result, StageError};

/// Emits the samples of one epoch after the other. Runs on a separate thread, ahead of its
/// consumers by what the edges may hold.
///
/// ```
/// use pipeline_contract::{Item, Output, Payload, Result, Source};
///
/// # #[derive(Clone)]
/// # struct Number(u64);
/// # impl Payload for Number {
/// #     const NAME: &'static str = "number";
/// #     fn bytes(&self) -> u64 { 8 }
/// # }
/// /// Emits the numbers from 1 to a limit.
/// struct Count(u64);
///
/// impl Source for Count {
///     type Out = Number;
///
///     fn samples(&self) -> Option<u64> {
///         Some(self.0)
///     }
///
///     fn epoch(&mut self, _: u64, out: &mut Output<'_, Number>) -> Result<()> {
///         (1..=self.0).try_for_each(|number| out.emit(number.to_string(), Number(number)))
///     }
/// }
///
/// // The engine passes a sink that sends each item along the edges; a test can collect them.
/// let mut emitted = Vec::new();
/// let mut sink = |item: Item| {
///     emitted.push((item.sample.to_string(), item.take::<Number>()?.0));
///     Ok(())
/// };
/// Count(3).epoch(0, &mut Output::new(0, &mut sink))?;
/// assert_eq!(emitted, [("1".into(), 1), ("2".into(), 2), ("3".into(), 3)]);
/// # Ok::<(), pipeline_contract::StageError>(())
/// ```
pub trait Source: 'static {
    /// What it emits.
    type Out: Payload;

    /// How many samples each epoch has, where that is known before the first.
    fn samples(&self) -> Option<u64> {
        None
    }

    /// The samples that were found broken while listing, with the problem: asked once, before the first epoch. They
    /// are not emitted, and [`Self::samples`] doesn't count them.
    fn broken(&mut self) -> Vec<(Arc<str>, StageError)> {
        Vec::new()
    }

    /// Emits every sample of `epoch` (from 0), in the order in which they are to be used.
    ///
    /// # Errors
    /// When a sample can't be listed; and [`StageError::stopped`], handed on from [`Output::emit`], when the run stops.
    fn epoch(&mut self, epoch: u64, out: &mut Output<'_, Self::Out>) -> Result<()>;
}
