//! One slice that several threads write to at once, each in places of its own.
#![allow(
    unsafe_code,
    reason = "the places that tiles write to interleave, so the slice can't be split among threads beforehand"
)]

use std::marker::PhantomData;

/// A slice whose parts are handed out for writing, also to different threads.
pub(crate) struct Cells<'a, T> {
    start: *mut T,
    length: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it is an exclusive borrow of a slice of `Send` values; whoever takes a part promises that no two parts overlap.
unsafe impl<T: Send> Sync for Cells<'_, T> {}

impl<'a, T> Cells<'a, T> {
    /// Takes the slice until the cells are dropped.
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Cells { start: slice.as_mut_ptr(), length: slice.len(), slice: PhantomData }
    }

    /// The part of so many values from `start` on.
    ///
    /// # Panics
    /// When it doesn't lie within the slice.
    ///
    /// # Safety
    /// No part that overlaps it may be in use at the same time.
    #[allow(clippy::mut_from_ref, reason = "the caller promises that parts don't overlap")]
    pub(crate) unsafe fn part(&self, start: usize, length: usize) -> &mut [T] {
        assert!(start <= self.length && length <= self.length - start, "a part outside of its slice");
        // SAFETY: within the slice, as just checked; not aliased, as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), length) }
    }
}
