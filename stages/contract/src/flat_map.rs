//! A stage without state that makes several items of one.
//! Authors implement this trait; the engine calls it as an [`ErasedFlatMap`](crate::ErasedFlatMap).

use crate::{ItemContext, Payload, Result};

/// Turns one item into several, without state, on any thread and in any order; the engine restores the order.
///
/// How many is settled by the stage's options ([`StageKind::flat_map`](crate::StageKind::flat_map)) and the same for every sample, so that
/// the length of an epoch is known before it begins, and a run can resume between two pieces of a sample. The pieces of a sample follow each
/// other and are called `17_A#1`, `17_A#2`, ... Later stages see each as a sample of its own, with random numbers of its own. If one of
/// them fails on the workers, the whole sample is at fault, and none of its pieces goes on.
///
/// ```
/// use pipeline_contract::{FlatMap, ItemContext, Payload, Result};
///
/// # #[derive(Clone)]
/// # struct Text(String);
/// # impl Payload for Text {
/// #     const NAME: &'static str = "text";
/// #     fn bytes(&self) -> u64 { self.0.len() as u64 }
/// # }
/// /// The first letters of a text, each by itself.
/// struct Letters(u64);
///
/// impl FlatMap for Letters {
///     type In = Text;
///     type Out = Text;
///
///     fn flat_map(&self, input: Text, _: &ItemContext<'_>) -> Result<Vec<Text>> {
///         Ok(input.0.chars().take(self.0 as usize).map(|letter| Text(letter.into())).collect())
///     }
/// }
///
/// let cx = ItemContext { stage: "letters", seed: 42, epoch: 0, sample: "a" };
/// let pieces = Letters(2).flat_map(Text("xyz".into()), &cx)?;
/// assert_eq!(pieces.iter().map(|piece| &*piece.0).collect::<Vec<_>>(), ["x", "y"]);
/// # Ok::<(), pipeline_contract::StageError>(())
/// ```
pub trait FlatMap: Send + Sync + 'static {
    /// The input payload.
    type In: Payload;
    /// The output payload.
    type Out: Payload;

    /// Turns one payload into as many as the kind says.
    ///
    /// # Errors
    /// What is wrong with the sample, as in [`Map::map`](crate::Map::map).
    fn flat_map(&self, input: Self::In, cx: &ItemContext<'_>) -> Result<Vec<Self::Out>>;
}

/// The id of a sample's piece number `piece`, from 1.
pub(crate) fn piece_id(sample: &str, piece: usize) -> String {
    format!("{sample}#{piece}")
}

/// The id of the sample that a piece was cut from, `levels` flat maps ago. What has no piece's number at its end stays as it is.
///
/// ```
/// use pipeline_contract::whole_of;
///
/// assert_eq!(whole_of("17_A#3", 1), "17_A");
/// assert_eq!(whole_of("a#2#13", 2), "a");
/// assert_eq!(whole_of("17_A", 1), "17_A");
/// ```
pub fn whole_of(piece: &str, levels: usize) -> &str {
    (0..levels).fold(piece, |piece, _| match piece.rsplit_once('#') {
        Some((whole, number)) if !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()) => whole,
        _ => piece,
    })
}
