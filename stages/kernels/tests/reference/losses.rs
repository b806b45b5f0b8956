//! The losses' formulas in float64, as the papers write them, and their slopes by central differences.

use pipeline_kernels::{Area, Targets, Term, WeightedTerm};

const EPSILON: f64 = 1e-5;

/// The loss of one sample. `z` is `[classes, height, width]`.
pub fn formula(terms: &[WeightedTerm], z: &[f64], targets: Targets<'_>, area: Area) -> f64 {
    terms.iter().map(|weighted| f64::from(weighted.weight) * value(weighted.term, z, targets, area)).sum()
}

/// The derivative of the loss by one logit, by central differences.
pub fn slope(terms: &[WeightedTerm], z: &[f64], targets: Targets<'_>, area: Area, at: usize) -> f64 {
    let moved = |step: f64| {
        let mut moved = z.to_vec();
        moved[at] += step;
        formula(terms, &moved, targets, area)
    };
    (moved(1e-6) - moved(-1e-6)) / 2e-6
}

fn value(term: Term, z: &[f64], targets: Targets<'_>, area: Area) -> f64 {
    match term {
        Term::CrossEntropy => {
            let losses: Vec<f64> = labelled(z, targets).map(|(p, label)| -p[label].ln()).collect();
            losses.iter().sum::<f64>() / (losses.len().max(1) as f64)
        }
        Term::ClassDice { background } => {
            let classes = usize::from(!background)..targets.classes;
            let dice = |class: usize| {
                let pairs: Vec<_> = labelled(z, targets).map(|(p, label)| (p[class], f64::from(label == class))).collect();
                dice(&pairs)
            };
            classes.clone().map(dice).sum::<f64>() / classes.len() as f64
        }
        _ => {
            let y: Vec<f64> = targets.labels.iter().map(|y| f64::from(*y) / 255.0).collect();
            let p: Vec<f64> = z.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect();
            binary(term, &p, &y, area)
        }
    }
}

/// Softmax and label of each labelled pixel.
fn labelled<'a>(z: &'a [f64], targets: Targets<'a>) -> impl Iterator<Item = (Vec<f64>, usize)> + 'a {
    let pixels = targets.labels.len();
    let known = targets.labels.iter().enumerate().filter(move |(_, label)| Some(**label) != targets.ignore);
    known.map(move |(pixel, label)| {
        let powers: Vec<f64> = (0..targets.classes).map(|class| z[class * pixels + pixel].exp()).collect();
        let total: f64 = powers.iter().sum();
        (powers.iter().map(|power| power / total).collect(), usize::from(*label))
    })
}

fn dice(pairs: &[(f64, f64)]) -> f64 {
    let (overlap, total) = (sum(pairs, f64::min), sum(pairs, |p, y| p + y));
    1.0 - (2.0 * overlap + EPSILON) / (total + EPSILON)
}

fn sum(pairs: &[(f64, f64)], term: impl Fn(f64, f64) -> f64) -> f64 {
    pairs.iter().map(|(p, y)| term(*p, *y)).sum()
}

fn binary(term: Term, p: &[f64], y: &[f64], area: Area) -> f64 {
    let pairs: Vec<(f64, f64)> = p.iter().copied().zip(y.iter().copied()).collect();
    let mean = |term: &dyn Fn(f64, f64) -> f64| sum(&pairs, term) / pairs.len() as f64;
    let tversky = |alpha: f32, beta: f32| {
        let (alpha, beta) = (f64::from(alpha), f64::from(beta));
        let hits = sum(&pairs, f64::min) + EPSILON;
        let [above, below] = [sum(&pairs, |p, y| (p - y).max(0.0)), sum(&pairs, |p, y| (y - p).max(0.0))];
        1.0 - hits / (hits + alpha * above + beta * below)
    };
    match term {
        Term::Bce { pos_weight } => mean(&|p, y| -(f64::from(pos_weight) * y * p.ln() + (1.0 - y) * (1.0 - p).ln())),
        Term::Focal { gamma, alpha } => mean(&|p, y| {
            let part = |q: f64, balance: f64| -balance * (1.0 - q).powf(f64::from(gamma)) * q.ln();
            let [background, mask] = alpha.map_or([1.0; 2], |alpha| [1.0 - f64::from(alpha), f64::from(alpha)]);
            (1.0 - y) * part(1.0 - p, background) + y * part(p, mask)
        }),
        Term::Tversky { alpha, beta } => tversky(alpha, beta),
        Term::FocalTversky { alpha, beta, gamma } => tversky(alpha, beta).powf(1.0 / f64::from(gamma)),
        Term::ClDice { iterations } => {
            let (predicted, mask) = (skeleton(p, iterations, area), skeleton(y, iterations, area));
            let share = |of: &[f64], within: &[f64]| {
                let hits: f64 = of.iter().zip(within).map(|(a, b)| a * b).sum();
                (hits + 1.0) / (of.iter().sum::<f64>() + 1.0)
            };
            let (precision, sensitivity) = (share(&predicted, y), share(&mask, p));
            1.0 - 2.0 * precision * sensitivity / (precision + sensitivity)
        }
        _ => dice(&pairs),
    }
}

fn skeleton(x: &[f64], iterations: usize, area: Area) -> Vec<f64> {
    let mut skeleton = vec![0.0; x.len()];
    let mut x = x.to_vec();
    for _ in 0..=iterations {
        let eroded = pooled(&x, area, |dy, dx| dy == 0 || dx == 0, f64::min);
        let opened = pooled(&eroded, area, |_, _| true, f64::max);
        for ((skeleton, x), opened) in skeleton.iter_mut().zip(&x).zip(&opened) {
            *skeleton += (x - opened).max(0.0) * (1.0 - *skeleton);
        }
        x = eroded;
    }
    skeleton
}

/// The smallest or largest of each pixel's neighbours that `counts`, within the image.
fn pooled(x: &[f64], area: Area, counts: fn(isize, isize) -> bool, best: fn(f64, f64) -> f64) -> Vec<f64> {
    let at = |index: usize| {
        let (y, x0) = ((index / area.width) as isize, (index % area.width) as isize);
        let mut value = x[index];
        for (dy, dx) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dy, dx))) {
            let (y, x0) = (y + dy, x0 + dx);
            if counts(dy, dx) && (0..area.height as isize).contains(&y) && (0..area.width as isize).contains(&x0) {
                value = best(value, x[y as usize * area.width + x0 as usize]);
            }
        }
        value
    };
    (0..x.len()).map(at).collect()
}
