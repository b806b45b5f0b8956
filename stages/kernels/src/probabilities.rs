//! Turns logits into probabilities, as a map for another network, and their gradient.

use rayon::prelude::*;

use crate::bands::bands;
use crate::rows::ROW;
use crate::{Area, Element};

/// The probabilities of logits: with one class `1 / (1 + exp(-z))`, with more `exp(z_c) / sum_k exp(z_k)`.
///
/// `logits` and `out` are `[batch, classes, height, width]`.
///
/// # Panics
/// When sizes disagree, there are no classes, or planes are empty.
pub fn probabilities<E: Element>(logits: &[f32], classes: usize, area: Area, out: &mut [E]) {
    assert!(classes > 0, "at least one class");
    assert_eq!([logits.len(), out.len()], [area.values(classes); 2], "the maps' sizes");
    bands(out, classes, area, 1).into_par_iter().for_each(|mut band| {
        let (mut most, mut total, mut row) = ([0.0f32; ROW], [0.0f32; ROW], [0.0f32; ROW]);
        for start in (0..band.pixels).step_by(ROW) {
            let count = ROW.min(band.pixels - start);
            let of = |class: usize| &logits[(band.sample * classes + class) * area.pixels() + band.first + start..][..count];
            let (most, total, row) = (&mut most[..count], &mut total[..count], &mut row[..count]);
            if classes > 1 {
                most.fill(f32::NEG_INFINITY);
                total.fill(0.0);
                for class in 0..classes {
                    most.iter_mut().zip(of(class)).for_each(|(most, z)| *most = if *z > *most { *z } else { *most });
                }
                for class in 0..classes {
                    total.iter_mut().zip(of(class)).zip(&*most).for_each(|((total, z), most)| *total += (z - most).exp());
                }
            }
            for (class, out) in band.planes.iter_mut().enumerate() {
                if classes > 1 {
                    let parts = row.iter_mut().zip(of(class)).zip(most.iter().zip(&*total));
                    parts.for_each(|((p, z), (most, total))| *p = (z - most).exp() / total);
                } else {
                    row.iter_mut().zip(of(class)).for_each(|(p, z)| *p = sigmoid(*z));
                }
                E::narrow(row, &mut out[start..][..count]);
            }
        }
    });
}

/// Computed so that it neither overflows nor loses small values.
fn sigmoid(z: f32) -> f32 {
    let decay = (-z.abs()).exp();
    if z < 0.0 { decay / (1.0 + decay) } else { 1.0 / (1.0 + decay) }
}

/// Adds the gradient of the logits to `gradient`. With one class it is `g p (1 - p)`, with more
/// `p_c (g_c - sum_k g_k p_k)`; `g` is `upstream`, the gradient of the probabilities `p`.
///
/// All maps are `[batch, classes, height, width]`.
///
/// # Panics
/// When sizes disagree, there are no classes, or planes are empty.
pub fn probabilities_gradient<E: Element>(
    probabilities: &[E],
    upstream: &[E],
    classes: usize,
    area: Area,
    gradient: &mut [f32],
) {
    assert!(classes > 0, "at least one class");
    let sizes = [probabilities.len(), upstream.len(), gradient.len()];
    assert_eq!(sizes, [area.values(classes); 3], "the maps' sizes");
    bands(gradient, classes, area, 1).into_par_iter().for_each(|mut band| {
        let (mut p, mut g, mut shared) = ([0.0f32; ROW], [0.0f32; ROW], [0.0f32; ROW]);
        for start in (0..band.pixels).step_by(ROW) {
            let count = ROW.min(band.pixels - start);
            let (p, g, shared) = (&mut p[..count], &mut g[..count], &mut shared[..count]);
            let read = |class: usize, p: &mut [f32], g: &mut [f32]| {
                let first = (band.sample * classes + class) * area.pixels() + band.first + start;
                E::widen(&probabilities[first..][..count], p);
                E::widen(&upstream[first..][..count], g);
            };
            shared.fill(0.0);
            for class in 0..if classes > 1 { classes } else { 0 } {
                read(class, p, g);
                shared.iter_mut().zip(p.iter().zip(&*g)).for_each(|(shared, (p, g))| *shared += p * g);
            }
            for (class, gradient) in band.planes.iter_mut().enumerate() {
                read(class, p, g);
                let gradient = gradient[start..][..count].iter_mut().zip(p.iter().zip(&*g));
                if classes > 1 {
                    gradient.zip(&*shared).for_each(|((to, (p, g)), shared)| *to += p * (g - shared));
                } else {
                    gradient.for_each(|(to, (p, g))| *to += g * (p * (1.0 - p)));
                }
            }
        }
    });
}
