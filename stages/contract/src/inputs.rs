//! The input ports of a sequential stage: one or two.

use crate::{Item, Payload, PortType, Result};

/// What a [`Sequential`](crate::Sequential) stage takes in. Implemented by every [`Payload`] (one port) and by [`Either`] (two ports).
///
/// ```
/// use pipeline_contract::{Either, Inputs, Item, Payload};
///
/// #[derive(Clone)]
/// struct Image(Vec<u8>);
/// #[derive(Clone)]
/// struct Mask(Vec<bool>);
/// # impl Payload for Image {
/// #     const NAME: &'static str = "image";
/// #     fn bytes(&self) -> u64 { self.0.len() as u64 }
/// # }
/// # impl Payload for Mask {
/// #     const NAME: &'static str = "mask";
/// #     fn bytes(&self) -> u64 { self.0.len() as u64 }
/// # }
///
/// // `needs: [images, masks]`: images come in at port 0, masks at port 1.
/// type Both = Either<Image, Mask>;
/// assert_eq!(Both::ports().iter().map(|port| port.name()).collect::<Vec<_>>(), ["image", "mask"]);
///
/// let item = Item::new(0, "a", Mask(vec![true]));
/// assert!(matches!(Both::from_item(1, item)?, Either::Second(Mask(mask)) if mask == [true]));
/// # Ok::<(), pipeline_contract::StageError>(())
/// ```
pub trait Inputs: Sized + 'static {
    /// The types of the input ports, in the order of `needs:`.
    fn ports() -> Vec<PortType>;

    /// Unwraps an item that came in at `port`.
    ///
    /// # Errors
    /// When the item is not of the port's type, which the type check of the graph rules out.
    fn from_item(port: usize, item: Item) -> Result<Self>;
}

impl<T: Payload> Inputs for T {
    fn ports() -> Vec<PortType> {
        vec![PortType::of::<T>()]
    }

    fn from_item(_: usize, item: Item) -> Result<Self> {
        item.take()
    }
}

/// An item of one of two input ports.
#[derive(Debug, Clone)]
pub enum Either<A, B> {
    /// From the first entry of `needs:`.
    First(A),
    /// From the second entry of `needs:`.
    Second(B),
}

impl<A: Payload, B: Payload> Inputs for Either<A, B> {
    fn ports() -> Vec<PortType> {
        vec![PortType::of::<A>(), PortType::of::<B>()]
    }

    fn from_item(port: usize, item: Item) -> Result<Self> {
        match port {
            0 => item.take().map(Self::First),
            _ => item.take().map(Self::Second),
        }
    }
}
