//! Divides a map to be written among threads, in bands of rows through all channels that no two threads share, and divides
//! the workspace into one part per thread.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::Area;

/// Minimum pixels per band: for fewer, reading the weight isn't worth it.
const FEWEST: usize = 32;

/// Some rows of one sample, through all channels.
pub(crate) struct Band<'a, E> {
    pub sample: usize,
    /// Index of the band's first pixel, in a plane of the area.
    pub first: usize,
    /// Number of pixels in the band, in a plane of the area.
    pub pixels: usize,
    /// The band's values for each channel: `pixels` times the number of values that the map has per pixel of the area.
    pub planes: Vec<&'a mut [E]>,
}

/// Cuts a map of `area`, with `times` values for each of its pixels, into bands of whole rows.
pub(crate) fn bands<E>(map: &mut [E], channels: usize, area: Area, times: usize) -> Vec<Band<'_, E>> {
    let wanted = (4 * rayon::current_num_threads()).div_ceil(area.batch);
    let rows = area.height.div_ceil(wanted).max(FEWEST.div_ceil(area.width)).min(area.height);
    let pixels = rows * area.width;
    let mut bands = Vec::new();
    for (sample, map) in map.chunks_mut(channels * area.pixels() * times).enumerate() {
        let old = bands.len();
        for first in (0..area.pixels()).step_by(pixels) {
            let pixels = pixels.min(area.pixels() - first);
            bands.push(Band { sample, first, pixels, planes: Vec::with_capacity(channels) });
        }
        for plane in map.chunks_mut(area.pixels() * times) {
            for (band, part) in bands[old..].iter_mut().zip(plane.chunks_mut(pixels * times)) {
                band.planes.push(part);
            }
        }
    }
    bands
}

/// Runs `each` for every task, with `size` values of the workspace that no other task uses meanwhile. The tasks may run in
/// any order and must not wait for each other.
pub(crate) fn run<T: Send>(tasks: Vec<T>, workspace: &mut [f32], size: usize, each: impl Fn(T, &mut [f32]) + Sync) {
    assert!(workspace.len() >= size * rayon::current_num_threads(), "the workspace is too small");
    let parts: Vec<_> = workspace.chunks_mut(size.max(1)).map(Mutex::new).collect();
    tasks.into_par_iter().with_max_len(1).for_each(|task| {
        let part = &parts[rayon::current_thread_index().unwrap_or_default()];
        each(task, &mut part.lock().unwrap_or_else(PoisonError::into_inner)[..size]);
    });
}
