//! Boxes, and what a layout is given and gives: sizes in, places out. Lengths are in the drawing's units.

/// A box; `x` and `y` are its left upper corner.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Rect {
    pub fn right(&self) -> f64 {
        self.x + self.width
    }

    pub fn bottom(&self) -> f64 {
        self.y + self.height
    }

    pub fn middle(&self) -> (f64, f64) {
        (self.x + self.width / 2.0, self.y + self.height / 2.0)
    }
}

/// How large things are.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Width and height of each stage, by node index.
    pub stages: Vec<(f64, f64)>,
    /// Width and height of each edge's label, by edge index.
    pub labels: Vec<(f64, f64)>,
    /// The width of the column at the left of every lane that holds its caption.
    pub caption: f64,
}

/// Where things are.
#[derive(Debug, Clone)]
pub struct Layout {
    /// By lane index.
    pub lanes: Vec<Rect>,
    /// By node index.
    pub stages: Vec<Rect>,
    /// By edge index; `None` for a call that passes over other stages of its lane.
    pub labels: Vec<Option<Rect>>,
    /// By edge index: the corners of a line of horizontal and vertical pieces, from the producer's border to the consumer's.
    pub routes: Vec<Vec<(f64, f64)>>,
    /// The extent of everything, from (0, 0).
    pub width: f64,
    /// See `width`.
    pub height: f64,
}
