//! A stage without state: one item in, one item out.
//! Authors implement this trait; the engine calls it as an [`ErasedMap`](crate::ErasedMap).

use crate::{ItemContext, Payload, Result};

/// Turns one item into one item, without state, on any thread and in any order; the engine restores the order.
/// A [`FlatMap`](crate::FlatMap) turns one into several.
///
/// ```
/// use pipeline_contract::{ItemContext, Map, Payload, Result, StageError};
///
/// # #[derive(Clone)]
/// # struct Number(u64);
/// # impl Payload for Number {
/// #     const NAME: &'static str = "number";
/// #     fn bytes(&self) -> u64 { 8 }
/// # }
/// /// Divides a constant by each number.
/// struct Divide(u64);
///
/// impl Map for Divide {
///     type In = Number;
///     type Out = Number;
///
///     fn map(&self, input: Number, _: &ItemContext<'_>) -> Result<Number> {
///         self.0.checked_div(input.0).map(Number).ok_or_else(|| StageError::new("can't divide by zero"))
///     }
/// }
///
/// let cx = ItemContext { stage: "divide", seed: 42, epoch: 0, sample: "a" };
/// assert_eq!(Divide(12).map(Number(4), &cx)?.0, 3);
/// assert!(Divide(12).map(Number(0), &cx).is_err());
/// # Ok::<(), pipeline_contract::StageError>(())
/// ```
pub trait Map: Send + Sync + 'static {
    /// The input payload.
    type In: Payload;
    /// The output payload.
    type Out: Payload;

    /// Turns one payload into another.
    ///
    /// # Errors
    /// What is wrong with the sample; the engine adds its name and the stage's, and the file's `on_error` says whether the run
    /// ends or skips the sample.
    fn map(&self, input: Self::In, cx: &ItemContext<'_>) -> Result<Self::Out>;
}
