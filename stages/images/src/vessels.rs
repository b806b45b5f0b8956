//! Grows the vessel trees of an eye: arteries and veins that leave the optic disc, curve around the macula, branch and taper.
//! Geometry only, in units of the field's radius; `strokes` makes pixels of it.

use std::collections::VecDeque;
use std::f32::consts::PI;

use pipeline_contract::Rng;
use rand::RngExt;

/// A point: right and down, from the middle of the field, in radii of the field.
pub(crate) type Point = [f32; 2];

/// A short straight piece of a vessel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Piece {
    /// Where it starts and ends.
    pub(crate) ends: [Point; 2],
    /// How wide it is there.
    pub(crate) widths: [f32; 2],
    /// How clearly it stands out, 0 to 1.
    pub(crate) contrast: f32,
    /// An artery, otherwise a vein.
    pub(crate) artery: bool,
}

/// Where an eye has its disc and its macula.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// The middle of the optic disc.
    pub(crate) disc: Point,
    /// The disc's radius.
    pub(crate) disc_radius: f32,
    /// The middle of the macula.
    pub(crate) macula: Point,
    /// 1 where the macula lies to the left of the disc, -1 where it lies to the right.
    pub(crate) side: f32,
}

/// A vessel that is still to be grown.
#[derive(Debug, Clone, Copy)]
struct Sprout {
    at: Point,
    /// Its direction now and where it tends to, in radians clockwise from the right.
    heading: f32,
    tends_to: f32,
    /// Over what length it gets there.
    bend: f32,
    width: f32,
    contrast: f32,
    artery: bool,
    generation: u32,
    parent: u16,
}

/// Length of a piece.
const STEP: f32 = 0.014;
/// No vessel is thinner.
const THINNEST: f32 = 0.0105;
/// No branch is shorter: a stump looks like none.
const SHORTEST: f32 = 0.09;
/// Generations of branches.
const GENERATIONS: u32 = 4;
/// Radius of the zone around the macula's middle that has no vessels.
const FREE_ZONE: f32 = 0.13;

/// Grows the vessels of an eye.
pub(crate) fn grow(layout: &Layout, rng: &mut Rng) -> Vec<Piece> {
    let winding = rng.random_range(0.12..0.22);
    let mut grown = Grown { pieces: Vec::new(), taken: [Taken::new(), Taken::new()], winding };
    let mut waiting: VecDeque<Sprout> = roots(layout, rng).into();
    let mut number = 0;
    // Wide vessels first: where two of one kind would meet, the later and thinner one ends.
    while let Some(sprout) = waiting.pop_front() {
        number += 1;
        grown.follow(sprout, number, layout, &mut waiting, rng);
    }
    grown.pieces
}

/// The vessels that leave the disc: to each of four corners an artery and a vein, and some small ones.
fn roots(layout: &Layout, rng: &mut Rng) -> Vec<Sprout> {
    let mut roots = Vec::new();
    let width = rng.random_range(0.037..0.044);
    // In an eye's own frame 0 is towards the macula and positive is down; `turned` puts that into the picture.
    let turned = |angle: f32| if layout.side > 0.0 { PI - angle } else { angle };
    let mut root = |angle: f32, tends_to: f32, bend: f32, width: f32, artery: bool, rng: &mut Rng| {
        let away = layout.disc_radius * rng.random_range(0.05..0.35);
        let heading = turned(angle);
        let (sin, cos) = libm::sincosf(heading);
        let at = [layout.disc[0] + cos * away, layout.disc[1] + sin * away];
        let contrast = rng.random_range(0.75..1.0);
        let tends_to = turned(tends_to);
        roots.push(Sprout { at, heading, tends_to, bend, width, contrast, artery, generation: 0, parent: 0 });
    };
    for down in [-1.0, 1.0] {
        let mut order = [false, true];
        if rng.random() {
            order.reverse();
        }
        for (number, artery) in order.into_iter().enumerate() {
            let (apart, thinner) = (0.16 * number as f32, if artery { 0.74 } else { 1.0 });
            let (start, end) = (rng.random_range(1.45..1.75) - apart * 1.6, rng.random_range(-0.25..0.15) + apart * 0.9);
            let bend = rng.random_range(0.5..0.68);
            root(down * start, down * end, bend, width * thinner, artery, rng);
            let (start, end) = (rng.random_range(1.95..2.25) + apart * 2.0, rng.random_range(2.2..2.5) + apart);
            root(down * start, down * end, 0.4, width * thinner * rng.random_range(0.62..0.8), artery, rng);
        }
        for artery in [false, true] {
            let start = rng.random_range(0.35..0.95);
            root(down * start, down * rng.random_range(0.1..0.3), 0.3, width * rng.random_range(0.3..0.42), artery, rng);
        }
        if rng.random() {
            let start = rng.random_range(2.75..3.05);
            root(down * start, down * start, 0.4, width * 0.36, rng.random(), rng);
        }
    }
    roots
}

struct Grown {
    pieces: Vec<Piece>,
    /// Of veins, of arteries.
    taken: [Taken; 2],
    /// How much a piece's direction may differ from the one before, in radians.
    winding: f32,
}

impl Grown {
    /// Grows one vessel to its end and puts its branches into the queue.
    fn follow(&mut self, sprout: Sprout, number: u16, layout: &Layout, waiting: &mut VecDeque<Sprout>, rng: &mut Rng) {
        let Sprout { mut at, mut width, artery, generation, .. } = sprout;
        let longest = if generation == 0 { 2.4 } else { rng.random_range(0.45..1.0) / generation as f32 };
        let spacing = |rng: &mut Rng| rng.random_range(0.10..0.24) * if generation == 0 { 1.0 } else { 1.3 };
        let (mut length, mut wander, mut branch_at) = (0.0, 0.0, spacing(rng) + if generation == 0 { 0.12 } else { 0.05 });
        let (mut up, first_piece, first_branch) = (rng.random::<bool>(), self.pieces.len(), waiting.len());
        while length < longest && width >= THINNEST {
            // Two uniform numbers are bell-shaped enough, and the same everywhere.
            let push = rng.random::<f32>() + rng.random::<f32>() - 1.0;
            wander += self.winding * push - wander * STEP / 0.11;
            let share = libm::expf(-length / sprout.bend);
            let heading = sprout.tends_to + (sprout.heading - sprout.tends_to) * share + wander;
            let (sin, cos) = libm::sincosf(heading);
            let next = [at[0] + STEP * cos, at[1] + STEP * sin];
            let thinner = (width * (1.0 - 0.24 * STEP)).max(THINNEST * 0.9);
            let macula = distance(next, layout.macula);
            let young = length < 2.5 * sprout.width;
            if distance(next, [0.0; 2]) > 1.02 || macula < FREE_ZONE {
                break;
            }
            if !young && self.taken[usize::from(artery)].by_another(next, number, sprout.parent) && generation > 0 {
                break;
            }
            // Vessels fade out towards the rim and where they end.
            let ending = ((longest - length) / 0.2).clamp(0.35, 1.0);
            let contrast = sprout.contrast * ending * (1.0 - 0.25 * distance(next, [0.0; 2]));
            self.pieces.push(Piece { ends: [at, next], widths: [width, thinner], contrast, artery });
            self.taken[usize::from(artery)].mark(next, number);
            (at, width, length) = (next, thinner, length + STEP);
            if length >= branch_at && generation < GENERATIONS {
                branch_at = length + spacing(rng);
                up ^= rng.random_range(0.0..1.0) < 0.75;
                let forks = rng.random_range(0.0..1.0) < 0.25;
                let side = if up { 1.0 } else { -1.0 };
                let away = if forks { rng.random_range(0.35..0.7) } else { rng.random_range(0.6..1.15) };
                let child = width * if forks { rng.random_range(0.66..0.8) } else { rng.random_range(0.42..0.62) };
                waiting.push_back(Sprout {
                    at,
                    heading: heading + side * away,
                    tends_to: heading + side * away * rng.random_range(0.2..1.1),
                    bend: rng.random_range(0.1..0.4),
                    width: child.max(THINNEST),
                    contrast: sprout.contrast * rng.random_range(0.75..1.0),
                    artery,
                    generation: generation + 1,
                    parent: number,
                });
                width *= if forks { 0.88 } else { 0.96 };
            }
        }
        if length < SHORTEST {
            self.pieces.truncate(first_piece);
            waiting.truncate(first_branch);
        }
    }
}

/// Which vessel of one kind lies where.
struct Taken(Vec<u16>);

const CELLS: usize = 120;

impl Taken {
    fn new() -> Self {
        Self(vec![0; CELLS * CELLS])
    }

    fn cell(point: Point) -> usize {
        let along = |value: f32| (((value + 1.1) / 2.2 * CELLS as f32) as usize).min(CELLS - 1);
        along(point[1]) * CELLS + along(point[0])
    }

    fn mark(&mut self, point: Point, number: u16) {
        self.0[Self::cell(point)] = number;
    }

    fn by_another(&self, point: Point, number: u16, parent: u16) -> bool {
        let there = self.0[Self::cell(point)];
        there != 0 && there != number && there != parent
    }
}

/// The distance of two points.
pub(crate) fn distance(one: Point, other: Point) -> f32 {
    let (right, down) = (one[0] - other[0], one[1] - other[1]);
    (right * right + down * down).sqrt()
}

#[cfg(test)]
mod tests {
    use pipeline_contract::stage_rng;

    use super::*;

    #[test]
    fn trees_start_in_the_disc_taper_and_leave_the_macula_free() {
        for side in [1.0, -1.0] {
            let layout = Layout { disc: [0.5 * side, 0.0], disc_radius: 0.13, macula: [-0.25 * side, 0.05], side };
            let pieces = grow(&layout, &mut stage_rng(1, 0, "eye", "test"));
            assert!(pieces.len() > 1000, "{}", pieces.len());
            assert!(distance(pieces[0].ends[0], layout.disc) < layout.disc_radius);
            for piece in &pieces {
                assert!(piece.widths[1] <= piece.widths[0] && piece.widths[0] < 0.06);
                assert!(distance(piece.ends[1], layout.macula) >= FREE_ZONE);
            }
            assert!([true, false].iter().all(|&artery| pieces.iter().filter(|piece| piece.artery == artery).count() > 300));
            // The vessels towards the macula curve around it: some of them lie beyond it.
            assert!(pieces.iter().any(|piece| piece.ends[1][0] * side < -0.4));
        }
    }
}
