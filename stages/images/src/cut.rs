//! Cuts a rectangle out of an image, also where it reaches beyond the edges. Doesn't choose where.

/// What stands where a rectangle reaches beyond the image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Beyond {
    /// The image, reflected at the middle of its edge pixels, again and again (`reflect` in PyTorch and NumPy).
    #[default]
    Reflection,
    /// Zeros.
    Black,
}

impl Beyond {
    /// The pixel from 0 to `side - 1` that stands at `at`; `None` where it is black. `side` is at least 1.
    fn pixel(self, at: isize, side: usize) -> Option<usize> {
        let last = side.saturating_sub(1) as isize;
        match self {
            _ if (0..=last).contains(&at) => Some(at as usize),
            Self::Black => None,
            Self::Reflection if last == 0 => Some(0),
            Self::Reflection => {
                let there = at.rem_euclid(2 * last);
                Some(there.min(2 * last - there) as usize)
            }
        }
    }
}

/// Appends to `into` the rectangle of `[height, width]` that begins at `[row, column]` of an image of this size, `[height, width, CHANNELS]`.
/// The rectangle may begin before the image and end behind it.
///
/// ```
/// use pipeline_images::{Beyond, cut};
///
/// let (row, mut around, mut black) = ([7, 8, 9], Vec::new(), Vec::new());
/// cut::<1>(&row, [1, 3], [0, -2], [1, 8], Beyond::Reflection, &mut around);
/// cut::<1>(&row, [1, 3], [0, -2], [1, 8], Beyond::Black, &mut black);
/// assert_eq!(around, [9, 8, 7, 8, 9, 8, 7, 8]);
/// assert_eq!(black, [0, 0, 7, 8, 9, 0, 0, 0]);
/// ```
///
/// # Panics
/// When the image holds fewer values than its size says.
pub fn cut<const CHANNELS: usize>(
    image: &[u8],
    [height, width]: [usize; 2],
    [top, left]: [isize; 2],
    size: [usize; 2],
    beyond: Beyond,
    into: &mut Vec<u8>,
) {
    let columns: Vec<Option<usize>> = (0..size[1]).map(|x| beyond.pixel(left + x as isize, width)).collect();
    // Columns that follow each other, all of them where the image is large enough, are copied at once.
    let follows = |a: &Option<usize>, b: &Option<usize>| a.map(|a| a + 1) == *b;
    let runs: Vec<(Option<usize>, usize)> = columns.chunk_by(follows).map(|run| (run[0], run.len())).collect();
    for y in 0..size[0] {
        let row = beyond.pixel(top + y as isize, height);
        for &(column, pixels) in &runs {
            match (row, column) {
                (Some(row), Some(column)) => {
                    into.extend_from_slice(&image[CHANNELS * (row * width + column)..][..CHANNELS * pixels])
                }
                _ => into.resize(into.len() + CHANNELS * pixels, 0),
            }
        }
    }
}
