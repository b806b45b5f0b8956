//! A binary mask that somebody else holds.

/// The most pixels of a mask: squared distances between them, and sums of two, fit into 64 bits.
const MOST: usize = 1 << 30;

/// A binary mask, `[height, width]` in rows: 0 is background, anything else is vessel.
#[derive(Debug, Clone, Copy)]
pub struct Mask<'a> {
    height: usize,
    width: usize,
    pixels: &'a [u8],
}

impl<'a> Mask<'a> {
    /// A mask of these pixels.
    ///
    /// # Panics
    /// Unless there are `height * width` pixels, at most 2^30.
    pub fn new(height: usize, width: usize, pixels: &'a [u8]) -> Self {
        assert_eq!(height.checked_mul(width), Some(pixels.len()), "the mask's size");
        assert!(pixels.len() <= MOST, "a mask of more than 2^30 pixels");
        Self { height, width, pixels }
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All rows, one after the other.
    pub fn pixels(&self) -> &'a [u8] {
        self.pixels
    }

    /// Row `y`, `[width]`.
    pub(crate) fn row(&self, y: usize) -> &'a [u8] {
        &self.pixels[y * self.width..(y + 1) * self.width]
    }

    /// Whether no pixel is vessel.
    pub fn is_empty(&self) -> bool {
        self.pixels.iter().all(|&pixel| pixel == 0)
    }
}
