//! How a layer reads a map, and the result it returns.

use super::backend::Backend;
use super::map::Map;
use crate::memory::Tried;

/// The result of an operation that makes a map.
pub(crate) type Made<B> = Tried<Map<<B as Backend>::Data>>;

/// A map as a layer reads it: as it is, or through a norm and its activation, whose result is never stored.
pub(crate) struct Input<'a, B: Backend> {
    pub map: &'a Map<B::Data>,
    pub through: Option<Through<'a, B>>,
}

/// The norm that a map is read through.
pub(crate) struct Through<'a, B: Backend> {
    pub statistics: &'a B::Statistics,
    /// Which of the norm's inputs the map is.
    pub part: usize,
}

impl<'a, B: Backend> Input<'a, B> {
    /// A map read as it is.
    pub fn plain(map: &'a Map<B::Data>) -> Self {
        Self { map, through: None }
    }
}

impl<B: Backend> Clone for Input<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Input<'_, B> {}

impl<B: Backend> Clone for Through<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Through<'_, B> {}
