//! A stage with state, which sees its items in order.
//! Authors implement this trait; the engine calls it as an [`ErasedSequential`](crate::ErasedSequential).

use crate::{Inputs, ItemContext, Output, Payload, Result, Saved, Shelf};

/// Sees its items in order, on one thread, and keeps state between them.
///
/// Call sequence: for each epoch `item()`* then `epoch_end()`; `finish()` once, at the end or when the run is interrupted
/// (not when it fails). `restore()` comes before all others, when a run resumes from what `save()` gave.
///
/// ```
/// use pipeline_contract::{Item, ItemContext, Output, Payload, Result, Saved, Sequential, Shelf};
///
/// # #[derive(Clone)]
/// # struct Number(u64);
/// # impl Payload for Number {
/// #     const NAME: &'static str = "number";
/// #     fn bytes(&self) -> u64 { 8 }
/// # }
/// /// Emits the sum of each epoch.
/// #[derive(Default)]
/// struct Sum(u64);
///
/// impl Sequential for Sum {
///     type In = Number;
///     type Out = Number;
///
///     fn item(&mut self, input: Number, _: &ItemContext<'_>, _: &mut Output<'_, Number>) -> Result<()> {
///         self.0 += input.0;
///         Ok(())
///     }
///
///     fn epoch_end(&mut self, epoch: u64, out: &mut Output<'_, Number>) -> Result<()> {
///         out.emit(format!("epoch {epoch}"), Number(std::mem::take(&mut self.0)))
///     }
///
///     fn save(&mut self) -> Result<Saved> {
///         let mut saved = Saved::default();
///         saved.set("sum", self.0)?;
///         Ok(saved)
///     }
///
///     fn restore(&mut self, saved: Saved, _: &mut Shelf) -> Result<()> {
///         self.0 = saved.count("sum")?;
///         Ok(())
///     }
/// }
///
/// let mut emitted = Vec::new();
/// let mut sink = |item: Item| {
///     emitted.push(item.take::<Number>()?.0);
///     Ok(())
/// };
/// let mut out = Output::new(0, &mut sink);
/// let cx = ItemContext { stage: "sum", seed: 42, epoch: 0, sample: "a" };
///
/// let mut first = Sum::default();
/// first.item(Number(3), &cx, &mut out)?;
/// // Another stage continues from the saved state.
/// let mut second = Sum::default();
/// second.restore(first.save()?, &mut Shelf::default())?;
/// second.item(Number(4), &cx, &mut out)?;
/// second.epoch_end(0, &mut out)?;
/// assert_eq!(emitted, [7]);
/// # Ok::<(), pipeline_contract::StageError>(())
/// ```
pub trait Sequential: 'static {
    /// The input: a payload, or an [`Either`](crate::Either) of two for a stage with two input ports.
    type In: Inputs;
    /// The output; [`Nothing`](crate::Nothing) for a sink.
    type Out: Payload;

    /// Takes one item; may emit any number.
    ///
    /// # Errors
    /// What went wrong; the run ends with it. On a CPU lane the item may be left out instead, if the error is
    /// [`of_sample`](crate::StageError::of_sample).
    fn item(&mut self, input: Self::In, cx: &ItemContext<'_>, out: &mut Output<'_, Self::Out>) -> Result<()>;

    /// All items of `epoch` have been seen; what is held back for it is emitted now.
    ///
    /// # Errors
    /// What went wrong; the run ends with it.
    fn epoch_end(&mut self, _epoch: u64, _out: &mut Output<'_, Self::Out>) -> Result<()> {
        Ok(())
    }

    /// No more items will come.
    ///
    /// # Errors
    /// What went wrong; the run ends with it.
    fn finish(&mut self, _end: End) -> Result<()> {
        Ok(())
    }

    /// Everything that decides what it does from here on; called between two items. Stages of the device's lane that keep state must
    /// save it, or a run that resumes differs from an undisturbed one.
    ///
    /// # Errors
    /// When the state can't be read or written; the run ends with it.
    fn save(&mut self) -> Result<Saved> {
        Ok(Saved::default())
    }

    /// Restores what [`Self::save`] gave, before the first item. Stages are restored in the order of their lane.
    ///
    /// # Errors
    /// When another stage saved it.
    fn restore(&mut self, _saved: Saved, _shelf: &mut Shelf) -> Result<()> {
        Ok(())
    }
}

/// Why no more items come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All epochs are done.
    Complete,
    /// The user stopped the run; an epoch may be incomplete.
    Interrupted,
}
