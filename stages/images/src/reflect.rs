//! Reflection at an image's edges: which pixel stands for one that lies beyond them.

/// The pixel from 0 to `side - 1` that stands at `at`, which may lie before the first or behind the last: the image is reflected at the middle of its
/// edge pixels, again and again (PyTorch's and NumPy's `reflect`). `side` is at least 1.
///
/// ```
/// use pipeline_images::reflected;
///
/// let row: Vec<usize> = (-3..6).map(|at| reflected(at, 3)).collect();
/// assert_eq!(row, [1, 2, 1, 0, 1, 2, 1, 0, 1]);
/// assert_eq!(reflected(-7, 1), 0);
/// ```
pub fn reflected(at: isize, side: usize) -> usize {
    let last = side.saturating_sub(1) as isize;
    if last == 0 {
        return 0;
    }
    let there = at.rem_euclid(2 * last);
    there.min(2 * last - there) as usize
}
