//! The sets of values that share statistics in a norm: a group of a sample's channels, or a channel of all samples.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use crate::layer::{Norm, NormKind};

/// Units that work on one set.
pub(super) const UNITS: usize = 128;

/// The sets of a norm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sets {
    /// Channels per set.
    pub members: usize,
    /// Whether a set spans all samples.
    pub batch: bool,
    pub count: usize,
}

impl Sets {
    /// The sets of a norm, in maps of `batch` samples.
    pub fn of(norm: &Norm, batch: usize) -> Self {
        let members = norm.members();
        match norm.kind {
            NormKind::Batch => Self { members: 1, batch: true, count: norm.channels },
            NormKind::Group | NormKind::Instance => Self { members, batch: false, count: batch * (norm.channels / members) },
        }
    }

    /// One set for every channel of every sample.
    pub fn planes(batch: usize, channels: usize) -> Self {
        Self { members: 1, batch: false, count: batch * channels }
    }

    /// The launch's cubes and units: one cube per set.
    pub fn launch(&self) -> (CubeCount, CubeDim) {
        (CubeCount::Static(self.count as u32, 1, 1), CubeDim::new_1d(UNITS as u32))
    }

    /// The argument of a launch over sums `[images, pieces, channels]`.
    pub fn arg(&self, [images, pieces, channels]: [usize; 3]) -> PiecesOfSetsLaunch {
        PiecesOfSetsLaunch { images, pieces, channels, members: self.members, batch: self.batch }
    }
}

/// The sums over pieces `[images, pieces, channels]` grouped by sets, in a kernel with one cube per set.
#[derive(CubeType, CubeLaunch)]
pub(super) struct PiecesOfSets {
    pub images: usize,
    pub pieces: usize,
    pub channels: usize,
    /// Channels per set.
    members: usize,
    #[cube(comptime)]
    batch: bool,
}

/// One of the sums of a set.
#[derive(CubeType)]
pub(super) struct Element {
    /// Its index in `[images, pieces, channels]`.
    pub at: usize,
    /// The piece within an image.
    pub piece: usize,
}

#[cube]
impl PiecesOfSets {
    /// How many sums the set has.
    pub fn elements(&self) -> usize {
        if comptime!(self.batch) { self.pieces * self.images } else { self.pieces * self.members }
    }

    /// The sum with this index within the set.
    pub fn element(&self, index: usize) -> Element {
        let set = CUBE_POS_X as usize;
        let groups = self.channels / self.members;
        // Pieces of all images, one after the other.
        let (piece, member) = (index / self.members, index % self.members);
        if comptime!(self.batch) {
            Element { at: piece * self.channels + set, piece: piece % self.pieces }
        } else {
            let channel = (set % groups) * self.members + member;
            Element { at: ((set / groups) * self.pieces + piece) * self.channels + channel, piece }
        }
    }

    /// How many planes (channels of a sample) take their values from the set.
    pub fn planes(&self) -> usize {
        if comptime!(self.batch) { self.images } else { self.members }
    }

    /// The index of one of these planes in `[images, channels]`.
    pub fn plane(&self, index: usize) -> usize {
        let set = CUBE_POS_X as usize;
        if comptime!(self.batch) { index * self.channels + set } else { set * self.members + index }
    }
}
