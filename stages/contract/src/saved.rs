//! The state that a stage saves so that a later run can resume: small values by name, and large buffers.
//! The program decides its format on the disk.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Result, StageError};

/// Everything that decides what a stage does next.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Saved {
    /// Small values by name.
    pub values: Map<String, Value>,
    /// Large buffers by name.
    pub buffers: BTreeMap<String, Buffer>,
}

/// A flat buffer of one type.
#[derive(Debug, Clone, PartialEq)]
pub enum Buffer {
    /// float32.
    Floats(Vec<f32>),
    /// Bytes, such as pixels.
    Bytes(Vec<u8>),
    /// Whole numbers.
    Counts(Vec<u64>),
}

impl Buffer {
    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Floats(values) => size_of_val(&values[..]) as u64,
            Self::Bytes(values) => values.len() as u64,
            Self::Counts(values) => size_of_val(&values[..]) as u64,
        }
    }
}

/// Counts beyond this are out of range.
const MOST: u64 = 1 << 53;

fn lacks(name: &str) -> StageError {
    StageError::new(format!("the saved state has no `{name}` of the expected type"))
        .help("another version of the program or of the stage wrote it")
}

impl Saved {
    /// Bytes of memory that the buffers hold.
    pub fn bytes(&self) -> u64 {
        self.buffers.values().map(Buffer::bytes).sum()
    }

    /// Keeps a small value: a number, a text, a list of them. A float goes through [`Self::set_float`].
    ///
    /// # Errors
    /// When it can't be written as JSON.
    pub fn set(&mut self, name: &str, value: impl Serialize) -> Result<()> {
        let value =
            serde_json::to_value(value).map_err(|error| StageError::new(format!("`{name}` can't be saved: {error}")))?;
        self.values.insert(name.to_owned(), value);
        Ok(())
    }

    /// Keeps a float to the last bit, also one that isn't finite: JSON's own numbers would do neither.
    pub fn set_float(&mut self, name: &str, value: f64) {
        self.values.insert(name.to_owned(), value.to_bits().into());
    }

    /// Keeps a buffer.
    pub fn keep(&mut self, name: impl Into<String>, buffer: Buffer) {
        self.buffers.insert(name.into(), buffer);
    }

    /// A small value.
    ///
    /// # Errors
    /// When no value has this name and type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let value = self.values.get(name).ok_or_else(|| lacks(name))?;
        T::deserialize(value).map_err(|_| lacks(name))
    }

    /// A count, checked to be in a range in which further counting can't overflow.
    ///
    /// # Errors
    /// As [`Self::get`], and when it is more.
    pub fn count(&self, name: &str) -> Result<u64> {
        self.counts(name).map(|[count]: [u64; 1]| count)
    }

    /// As [`Self::count`], for a list of `N` counts; a single one needs no list.
    ///
    /// # Errors
    /// As there.
    pub fn counts<const N: usize>(&self, name: &str) -> Result<[u64; N]> {
        let list = if N == 1 { vec![self.get(name)?] } else { self.get::<Vec<u64>>(name)? };
        match <[u64; N]>::try_from(list) {
            Ok(counts) if counts.iter().all(|&count| count < MOST) => Ok(counts),
            _ => Err(lacks(name)),
        }
    }

    /// A float that [`Self::set_float`] kept.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_float(&self, name: &str) -> Result<f64> {
        self.get(name).map(f64::from_bits)
    }

    /// Takes a buffer of float32 out.
    ///
    /// # Errors
    /// When no value has this name and type.
    pub fn take_floats(&mut self, name: &str) -> Result<Vec<f32>> {
        match self.buffers.remove(name) {
            Some(Buffer::Floats(values)) => Ok(values),
            _ => Err(lacks(name)),
        }
    }

    /// Takes a buffer of bytes out.
    ///
    /// # Errors
    /// When no value has this name and type.
    pub fn take_bytes(&mut self, name: &str) -> Result<Vec<u8>> {
        match self.buffers.remove(name) {
            Some(Buffer::Bytes(values)) => Ok(values),
            _ => Err(lacks(name)),
        }
    }

    /// Takes a buffer of whole numbers out.
    ///
    /// # Errors
    /// When no value has this name and type.
    pub fn take_counts(&mut self, name: &str) -> Result<Vec<u64>> {
        match self.buffers.remove(name) {
            Some(Buffer::Counts(values)) => Ok(values),
            _ => Err(lacks(name)),
        }
    }
}

/// What the stages of one thread share: while they are restored, in the order of their lane, one leaves here what those after
/// it would otherwise have got with an item.
#[derive(Default)]
pub struct Shelf(HashMap<TypeId, Box<dyn Any>>);

impl Shelf {
    /// Leaves a value; the last of each type stays.
    pub fn leave<T: Any>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Box::new(value));
    }

    /// A copy of what was left; `None` where nothing of this type was.
    pub fn find<T: Any + Clone>(&self) -> Option<T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref::<T>().cloned()
    }
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} things", self.0.len())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_to_the_last_bit() {
        let mut saved = Saved::default();
        saved.set("names", ["a", "b"]).unwrap();
        for value in [0.1 + 0.2, f64::NAN, f64::NEG_INFINITY, -0.0, 5e-324] {
            saved.set_float("value", value);
            assert_eq!(saved.get_float("value").unwrap().to_bits(), value.to_bits());
        }
        saved.keep("weights", Buffer::Floats(vec![1.0, f32::MIN_POSITIVE]));
        assert_eq!(saved.bytes(), 8);
        assert_eq!(saved.get::<Vec<String>>("names").unwrap(), ["a", "b"]);
        assert_eq!(saved.take_floats("weights").unwrap(), [1.0, f32::MIN_POSITIVE]);
        for error in [saved.take_floats("weights").unwrap_err(), saved.get::<u64>("names").unwrap_err()] {
            assert!(error.message().contains("the saved state has no"), "{error}");
        }
    }

    #[test]
    fn a_shelf_holds_one_value_of_each_type() {
        let mut shelf = Shelf::default();
        shelf.leave(1_u64);
        shelf.leave("text");
        shelf.leave(2_u64);
        assert_eq!((shelf.find::<u64>(), shelf.find::<&str>(), shelf.find::<u8>()), (Some(2), Some("text"), None));
    }
}
