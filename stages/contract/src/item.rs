//! What flows along an edge: a payload, the sample it belongs to, and its size in bytes.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

use crate::{Facts, Result, StageError};

/// Something that can flow along an edge. Its `NAME` is the port type that people see in the graph and in errors.
///
/// `Clone` is called only where an item is shared by several branches and one of them wants to change it.
///
/// ```
/// use pipeline_contract::{Facts, Item, Payload, PortType};
///
/// /// 8-bit pixels `[height, width]`.
/// #[derive(Clone)]
/// struct Gray(Vec<u8>);
///
/// impl Payload for Gray {
///     const NAME: &'static str = "gray_image";
///
///     fn bytes(&self) -> u64 {
///         self.0.len() as u64
///     }
///
///     fn planned(facts: &Facts) -> Option<u64> {
///         Some(facts.integer("height")? * facts.integer("width")?)
///     }
/// }
///
/// let item = Item::new(0, "photograph 1", Gray(vec![0, 255]));
/// assert_eq!(item.bytes, 2);
/// assert_eq!(item.take::<Gray>()?.0, [0, 255]);
///
/// let mut facts = Facts::default();
/// facts.set("height", 1, "size");
/// assert_eq!(PortType::of::<Gray>().planned(&facts), None);
/// facts.set("width", 2, "size");
/// assert_eq!(PortType::of::<Gray>().planned(&facts), Some(2));
/// # Ok::<(), pipeline_contract::StageError>(())
/// ```
pub trait Payload: Clone + Send + Sync + 'static {
    /// The port type's name in the field's words: `files`, `image_pair`, `batch`, `gradients`, `step`.
    const NAME: &'static str;

    /// Bytes of host memory that this payload holds; the edges' and the run's budgets count these.
    fn bytes(&self) -> u64;

    /// The same before anything runs, from what is known of the items; `None` where that isn't enough.
    fn planned(_: &Facts) -> Option<u64> {
        None
    }
}

/// The type of a port: equal when the Rust type is.
#[derive(Clone, Copy)]
pub struct PortType {
    id: TypeId,
    name: &'static str,
    planned: fn(&Facts) -> Option<u64>,
}

impl PortType {
    /// The port type of a payload.
    pub fn of<T: Payload>() -> Self {
        Self { id: TypeId::of::<T>(), name: T::NAME, planned: T::planned }
    }

    /// Bytes of host memory that an item takes, from what is known of it before anything runs.
    pub fn planned(&self, facts: &Facts) -> Option<u64> {
        (self.planned)(facts)
    }

    /// The payload's name.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl PartialEq for PortType {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for PortType {}

impl fmt::Debug for PortType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// One payload on its way, with the epoch and the sample that it belongs to.
#[derive(Clone)]
pub struct Item {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The sample's id, unique within the epoch; of a batch, its samples' ids joined by a comma.
    pub sample: Arc<str>,
    /// Bytes of host memory that the payload holds.
    pub bytes: u64,
    /// How many items of its source's epoch went into this one and those before it; the engine sets it.
    pub until: u64,
    name: &'static str,
    payload: Arc<dyn Any + Send + Sync>,
}

impl Item {
    /// Wraps a payload.
    pub fn new<T: Payload>(epoch: u64, sample: impl Into<Arc<str>>, payload: T) -> Self {
        Self { epoch, sample: sample.into(), bytes: payload.bytes(), until: 0, name: T::NAME, payload: Arc::new(payload) }
    }

    /// Looks at the payload.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn get<T: Payload>(&self) -> Result<&T> {
        let wrong = || StageError::new(format!("expected an item of type {}, got {}", T::NAME, self.name));
        self.payload.downcast_ref().ok_or_else(wrong)
    }

    /// Takes the payload out; it is copied only if another branch still holds it.
    ///
    /// # Errors
    /// When the payload is of another type, which the type check of the graph rules out.
    pub fn take<T: Payload>(self) -> Result<T> {
        let name = self.name;
        self.payload
            .downcast::<T>()
            .map(Arc::unwrap_or_clone)
            .map_err(|_| StageError::new(format!("expected an item of type {}, got {name}", T::NAME)))
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}, epoch {}, {} bytes)", self.name, self.sample, self.epoch, self.bytes)
    }
}
