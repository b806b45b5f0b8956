//! One slice that several threads write to at once, each in its own places.
#![allow(
    unsafe_code,
    reason = "the places that tiles write to interleave, so the slice can't be split among threads beforehand"
)]

use std::marker::PhantomData;
use std::ops::Range;

use crate::parallel;

/// A slice whose parts are handed out for writing, possibly to different threads.
pub(crate) struct Cells<'a, T> {
    start: *mut T,
    length: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it is an exclusive borrow of a slice of `Send` values; whoever takes a part promises that no two parts overlap.
unsafe impl<T: Send> Sync for Cells<'_, T> {}

impl<'a, T> Cells<'a, T> {
    /// Borrows the slice until the cells are dropped.
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Cells { start: slice.as_mut_ptr(), length: slice.len(), slice: PhantomData }
    }

    /// The `length` values from `start` on.
    ///
    /// # Panics
    /// When the part doesn't lie within the slice.
    ///
    /// # Safety
    /// No overlapping part may be in use at the same time.
    #[allow(clippy::mut_from_ref, reason = "the caller promises that parts don't overlap")]
    pub(crate) unsafe fn part(&self, start: usize, length: usize) -> &mut [T] {
        assert!(start <= self.length && length <= self.length - start, "a part outside of its slice");
        // SAFETY: within the slice, as just checked; not aliased, as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), length) }
    }
}

/// The same pixels of several planes, for one thread to write to.
pub(crate) struct Strip<'a, T> {
    cells: &'a Cells<'a, T>,
    /// Pixels per plane.
    pixels: usize,
    /// The strip's pixels, as indices into a plane.
    range: Range<usize>,
}

impl<T: Send> Strip<'_, T> {
    /// The strip's pixels, as indices into a plane.
    pub(crate) fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// The strip's part of plane `index`.
    ///
    /// # Panics
    /// When there is no such plane.
    pub(crate) fn plane(&mut self, index: usize) -> &mut [T] {
        // SAFETY: strips share no pixels, and no other plane of this strip is borrowed.
        unsafe { self.cells.part(index * self.pixels + self.range.start, self.range.len()) }
    }
}

/// Runs `work` on `planes`, `[planes, pixels]`, in strips of `width` pixels, and adds up the results in order.
pub(crate) fn through_planes<T: Send, S: Copy + Default + Send>(
    planes: &mut [T],
    pixels: usize,
    width: usize,
    work: impl Fn(Strip<'_, T>) -> S + Sync,
    add: impl Fn(S, S) -> S,
) -> S {
    let cells = Cells::new(planes);
    let strip = |index: usize| {
        let range = index * width..((index + 1) * width).min(pixels);
        // `parallel::sum` does each index once, so no pixel is in two strips.
        work(Strip { cells: &cells, pixels, range })
    };
    parallel::sum(pixels.div_ceil(width), strip, add)
}
