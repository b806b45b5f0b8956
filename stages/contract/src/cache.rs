//! A stateless stage that keeps what the stages before it made of a sample, so that they needn't make it again.
//! The engine asks it at the head of the lane, with the sample as its source emitted it; where it keeps things isn't said here.

use crate::{ItemContext, Payload, Result};

/// Keeps what the stages between a source and itself made of a sample.
///
/// What it gives back must be what those stages would make: the same bytes, and the same doubts told. They are maps that draw nothing
/// ([`StageKind::is_random`](crate::StageKind::is_random)), so a sample becomes the same thing in every epoch.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
///
/// use pipeline_contract::{Cache, ItemContext, Payload, Recalled, Result};
///
/// # #[derive(Clone)]
/// # struct Number(u64);
/// # impl Payload for Number {
/// #     const NAME: &'static str = "number";
/// #     fn bytes(&self) -> u64 { 8 }
/// # }
/// # #[derive(Clone)]
/// # struct Square(u64);
/// # impl Payload for Square {
/// #     const NAME: &'static str = "square";
/// #     fn bytes(&self) -> u64 { 8 }
/// # }
/// /// Squares by the numbers that they were made of.
/// #[derive(Default)]
/// struct Squares(Mutex<HashMap<u64, u64>>);
///
/// impl Cache for Squares {
///     type From = Number;
///     type Kept = Square;
///     type Key = u64;
///
///     fn recall(&self, from: &Number, _: &ItemContext<'_>) -> Result<Recalled<u64, Square>> {
///         Ok(match self.0.lock().unwrap().get(&from.0) {
///             Some(square) => Recalled::Kept(Square(*square)),
///             None => Recalled::Missing(from.0),
///         })
///     }
///
///     fn keep(&self, key: u64, made: &Square, _: &ItemContext<'_>) {
///         self.0.lock().unwrap().insert(key, made.0);
///     }
/// }
///
/// let (squares, cx) = (Squares::default(), ItemContext { stage: "squares", seed: 1, epoch: 0, sample: "a" });
/// let Recalled::Missing(key) = squares.recall(&Number(3), &cx)? else { panic!("nothing was kept") };
/// squares.keep(key, &Square(9), &cx);
/// assert!(matches!(squares.recall(&Number(3), &cx)?, Recalled::Kept(Square(9))));
/// # Ok::<(), pipeline_contract::StageError>(())
/// ```
pub trait Cache: Send + Sync + 'static {
    /// What the source emits.
    type From: Payload;
    /// What is kept: this stage's input and its output.
    type Kept: Payload;
    /// By what it is found again.
    type Key: Send + 'static;

    /// Looks for what was kept of a sample.
    ///
    /// # Errors
    /// What is wrong with the sample, as in [`Map::map`](crate::Map::map). That nothing can be read of what was kept is none: it is missing then.
    fn recall(&self, from: &Self::From, cx: &ItemContext<'_>) -> Result<Recalled<Self::Key, Self::Kept>>;

    /// Keeps what was made of a sample that was missing. If it can't, it says so once, and the run goes on.
    fn keep(&self, key: Self::Key, made: &Self::Kept, cx: &ItemContext<'_>);
}

/// What a [`Cache`] knows of a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recalled<K, T> {
    /// This was kept.
    Kept(T),
    /// Nothing; what is made of it is kept under this.
    Missing(K),
}
