//! Draws a synthetic fundus photograph with its vessels' mask: the same pixels for the same size and seed on every machine.
//! Made to be learnt from and looked at; no model of an eye.

use std::ops::Range;

use pipeline_contract::{Rng, stage_rng};
use rand::RngExt;

use crate::noise::{Noise, mix};
use crate::strokes::{self, Hit};
use crate::vessels::{Layout, Point, distance, grow};
use crate::{ImagePair, MaskKind, Normalization};

/// Draws the fundus of `seed`, `size` pixels high and wide. The same seed gives the same eye at every size.
///
/// The image is drawn from the strokes that the mask is drawn from: a pixel is vessel where at least half of it is covered.
/// Only operations that round alike everywhere are used, so the pixels are the same on every machine.
pub fn draw(size: usize, seed: u64) -> ImagePair {
    paint(size, seed, MaskKind::Share, |_| 255)
}

/// The colours in which files and `labels` tell classes apart of [`draw_classes`]: background, arteries, veins.
pub(crate) const CLASS_COLOURS: [[u8; 3]; 3] = [[0; 3], [255, 0, 0], [0, 0, 255]];

/// As [`draw`], with a mask in which arteries are 1 and veins 2. Where they cross, the artery is on top.
pub(crate) fn draw_classes(size: usize, seed: u64) -> ImagePair {
    paint(size, seed, MaskKind::Class, |artery| if artery { 1 } else { 2 })
}

/// `class` says what is in the mask where there is an artery, and where there is a vein alone.
fn paint(size: usize, seed: u64, kind: MaskKind, class: impl Fn(bool) -> u8) -> ImagePair {
    let mut rng = stage_rng(seed, 0, "eye", "fundus");
    let eye = Eye::new(&mut rng);
    let pieces = grow(&eye.layout, &mut rng);
    let side = size as f32;
    let (middle, radius) = ([side * (0.5 + eye.shift[0]), side * (0.5 + eye.shift[1])], side * 0.485);
    let [veins, arteries] =
        [false, true].map(|kind| strokes::draw(pieces.iter().filter(|piece| piece.artery == kind), size, middle, radius));
    let mut image = Vec::with_capacity(size * size * 3);
    let mut mask = Vec::with_capacity(size * size);
    for at in 0..size * size {
        let (x, y) = (at % size, at / size);
        let point = [(x as f32 + 0.5 - middle[0]) / radius, (y as f32 + 0.5 - middle[1]) / radius];
        let field = ((1.0 - distance(point, [0.0; 2])) * radius + 0.5).clamp(0.0, 1.0);
        let inside = field >= 0.5 && (veins[at].depth >= 0.0 || arteries[at].depth >= 0.0);
        mask.push(if inside { class(arteries[at].depth >= 0.0) } else { 0 });
        if field == 0.0 {
            image.extend_from_slice(&[DARK; 3]);
            continue;
        }
        let colour = eye.colour(point, &veins[at], &arteries[at], radius);
        for (channel, value) in colour.into_iter().enumerate() {
            let grain = eye.grain * Noise::new(eye.seed ^ (channel as u64 + 1)).corner(x as i32, y as i32);
            let value = (value + grain * (0.3 + value)) * field + f32::from(DARK) / 255.0;
            image.push((value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8);
        }
    }
    ImagePair {
        height: size,
        width: size,
        image,
        mask,
        kind,
        normalization: Normalization::default(),
        original: None,
        doubts: Vec::new(),
    }
}

/// What the camera records outside the field.
const DARK: u8 = 3;

/// What makes one eye differ from another. Colours are RGB from 0 to 1.
struct Eye {
    seed: u64,
    layout: Layout,
    /// Of the field's middle from the picture's, in its sides.
    shift: Point,
    /// In the middle of the field, and at its rim.
    ground: [[f32; 3]; 2],
    /// The light's direction and strength.
    light: Point,
    /// How strongly vessels stand out, 0 to 1.
    contrast: f32,
    /// Strength of the pixels' own noise.
    grain: f32,
    macula: f32,
    cup: f32,
    spots: Vec<Spot>,
}

/// A bright deposit or a dark bleeding, with a ragged edge.
struct Spot {
    at: Point,
    radius: f32,
    colour: [f32; 3],
    strength: f32,
}

impl Eye {
    fn new(rng: &mut Rng) -> Self {
        let seed = rng.random();
        let side = if rng.random() { 1.0 } else { -1.0 };
        let mut pick = |range: Range<f32>| rng.random_range(range);
        let disc = [side * pick(0.44..0.6), pick(-0.1..0.06)];
        let macula = [disc[0] - side * pick(0.62..0.74), disc[1] + pick(0.03..0.11)];
        let layout = Layout { disc, disc_radius: pick(0.115..0.145), macula, side };
        let (red, bright) = (pick(0.0..1.0), pick(0.85..1.2));
        let middle = [mix(0.62, 0.56, red), mix(0.34, 0.22, red), mix(0.15, 0.07, red)].map(|value| value * bright);
        let rim = [mix(0.46, 0.44, red), mix(0.33, 0.24, red), mix(0.18, 0.11, red)].map(|value| value * bright);
        let shift = [pick(-0.006..0.006), pick(-0.006..0.006)];
        let light = [pick(-0.22..0.22), pick(-0.16..0.16)];
        let (contrast, grain, macula, cup) = (pick(0.72..1.0), pick(0.018..0.04), pick(0.25..0.5), pick(0.4..0.62));
        let spots = Self::spots(&layout, rng);
        Self { seed, layout, shift, ground: [middle, rim], light, contrast, grain, macula, cup, spots }
    }

    /// Some eyes have deposits, some bleedings, most have few.
    fn spots(layout: &Layout, rng: &mut Rng) -> Vec<Spot> {
        let ill = rng.random_range(0.0_f32..1.0);
        let (deposits, bleedings) = ((ill * ill * ill * 26.0) as usize, (rng.random_range(0.0_f32..1.0) * ill * 12.0) as usize);
        let mut spots = Vec::new();
        for number in 0..deposits + bleedings {
            let bright = number < deposits;
            let spread = if bright { 0.42 } else { 0.75 };
            let at = [
                layout.macula[0] + spread * rng.random_range(-1.0..1.0),
                layout.macula[1] + spread * rng.random_range(-1.0..1.0),
            ];
            let colour = if bright { [0.86, 0.68, 0.28] } else { [0.27, 0.07, 0.04] };
            let radius = rng.random_range(0.008..if bright { 0.035 } else { 0.025 });
            let strength = rng.random_range(0.35..if bright { 0.85 } else { 0.6 });
            if distance(at, layout.disc) > 2.0 * layout.disc_radius {
                spots.push(Spot { at, radius, colour, strength });
            }
        }
        spots
    }

    /// The colour at a point of the field, RGB from 0 to 1, before the camera's noise.
    fn colour(&self, point: Point, vein: &Hit, artery: &Hit, radius: f32) -> [f32; 3] {
        let mut colour = self.ground(point);
        self.add_disc(&mut colour, point);
        // An edge is never sharper than a pixel, nor than the camera's optics.
        let softness = (0.009 * radius).max(1.0);
        let [x, y] = point;
        let covered = [vein, artery].map(|hit| hit.coverage(softness));
        if covered != [0.0; 2] {
            let patchy = 0.86 + 0.14 * Noise::new(self.seed ^ 77).layered(x * 6.0, y * 6.0, 2);
            let strength = self.contrast * patchy;
            tint(&mut colour, [0.62, 0.38, 0.45], covered[0] * vein.contrast * strength);
            // Light comes back from the middle of an artery, where it is wide enough to show.
            let reflex = ((artery.inwards() - 0.45) / 0.55).max(0.0) * ((artery.radius - 1.2) / 2.0).clamp(0.0, 1.0);
            tint(&mut colour, [0.86, 0.54, 0.55], covered[1] * artery.contrast * strength * (1.0 - 0.55 * reflex));
        }
        let light = 1.0 + self.light[0] * x + self.light[1] * y;
        colour.map(|value| value * light)
    }

    /// The retina without disc and vessels.
    fn ground(&self, point: Point) -> [f32; 3] {
        let [x, y] = point;
        let out = distance(point, [0.0; 2]).min(1.05);
        let noise = |layer: u64| Noise::new(self.seed ^ (layer << 8));
        let rim = ((out - 0.35) / 0.65).clamp(0.0, 1.0);
        let rim = (rim * rim + 0.25 * noise(1).layered(x * 1.7, y * 1.7, 3)).clamp(0.0, 1.0);
        let mut colour: [f32; 3] = std::array::from_fn(|channel| mix(self.ground[0][channel], self.ground[1][channel], rim));
        // Cloudy, mottled, and the layer of wide vessels behind the retina: blurred bands that are no vessels of the mask.
        let cloudy = 0.13 * noise(2).layered(x * 2.3, y * 2.3, 3);
        let mottled = 0.07 * noise(3).layered(x * 17.0, y * 17.0, 3);
        let (bend_x, bend_y) = (noise(4).at(x * 1.5, y * 1.5), noise(5).at(x * 1.5, y * 1.5));
        let bands = 0.06 * (1.0 - 2.0 * noise(6).at(x * 5.0 + 3.0 * bend_x, y * 5.0 + 3.0 * bend_y).abs());
        let from_macula = distance(point, self.layout.macula) / 0.24;
        let dark = libm::expf(-from_macula * from_macula);
        let at_rim = ((out - 0.86) / 0.15).clamp(0.0, 1.0);
        let rim_shade = 1.0 - 0.42 * at_rim * at_rim;
        for (channel, value) in colour.iter_mut().enumerate() {
            let own = [1.0, 1.25, 1.1][channel];
            let macula = 1.0 - self.macula * dark * [0.75, 1.1, 1.2][channel];
            *value *= (1.0 + own * (cloudy + mottled + bands)) * macula * rim_shade;
        }
        // An edge is at most half as far out again as the spot's radius: 1.6 times 1.5.
        for spot in self.spots.iter().filter(|spot| distance(point, spot.at) < 2.4 * spot.radius) {
            let ragged = 1.0 + 0.5 * noise(7).layered(x * 30.0, y * 30.0, 2);
            let share = (1.6 - distance(point, spot.at) / (spot.radius * ragged)).clamp(0.0, 1.0) * spot.strength;
            colour = std::array::from_fn(|channel| mix(colour[channel], spot.colour[channel], share));
        }
        colour
    }

    /// The optic disc: a pale ellipse with a brighter cup, and a glow around it.
    fn add_disc(&self, colour: &mut [f32; 3], point: Point) {
        let Layout { disc, disc_radius, side, .. } = self.layout;
        let [right, down] = [(point[0] - disc[0]) / (disc_radius * 0.93), (point[1] - disc[1]) / disc_radius];
        let uneven = 0.05 * Noise::new(self.seed ^ 99).at(right * 2.0, down * 2.0);
        let out = (right * right + down * down).sqrt() + uneven;
        let glow = 0.22 * libm::expf(-out * out / 3.2);
        let disc = ((1.08 - out) / 0.16).clamp(0.0, 1.0) * 0.88;
        let cup_x = right + 0.12 * side;
        let cup = ((self.cup - (cup_x * cup_x + down * down).sqrt()) / 0.3).clamp(0.0, 1.0) * 0.75;
        for (channel, value) in colour.iter_mut().enumerate() {
            *value *= 1.0 + glow;
            *value = mix(*value, [0.86, 0.56, 0.27][channel], disc);
            *value = mix(*value, [0.97, 0.84, 0.56][channel], cup * disc);
        }
    }
}

/// Lets a share of the light through a filter.
fn tint(colour: &mut [f32; 3], filter: [f32; 3], share: f32) {
    colour.iter_mut().zip(filter).for_each(|(value, filter)| *value *= mix(1.0, filter, share));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vessel_share(pair: &ImagePair) -> f64 {
        pair.mask.iter().map(|&value| f64::from(value) / 255.0).sum::<f64>() / pair.mask.len() as f64
    }

    #[test]
    fn a_seed_is_an_eye() {
        let pair = draw(96, 1);
        assert_eq!(pair, draw(96, 1));
        assert_ne!(pair.mask, draw(96, 2).mask);
        assert_eq!((pair.image.len(), pair.mask.len()), (96 * 96 * 3, 96 * 96));
    }

    #[test]
    fn arteries_and_veins_are_the_vessels() {
        let (pair, classes) = (draw(96, 1), draw_classes(96, 1));
        assert_eq!(classes.image, pair.image);
        assert!(pair.mask.iter().zip(&classes.mask).all(|(&vessel, &class)| vessel == 255 * class.min(1)));
        for class in [1, 2] {
            let share = classes.mask.iter().filter(|&&there| there == class).count() as f64 / classes.mask.len() as f64;
            assert!(share > 0.02, "{share} of the pixels are {class}");
        }
    }

    #[test]
    fn the_pixels_are_these_on_every_machine() {
        // FNV-1a over image and mask (1 for vessel): changes when the drawing does, and then figures measured on it change too.
        let pair = draw(64, 3);
        let mask = pair.mask.iter().map(|&value| value / 255);
        let hash = pair
            .image
            .iter()
            .copied()
            .chain(mask)
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        assert_eq!(hash, 0x5725_4d7f_0c4d_162a, "{hash:#x}");
    }

    #[test]
    fn vessels_take_the_share_that_they_take_in_photographs() {
        for size in [128, 192, 384] {
            for seed in 0..12 {
                let share = vessel_share(&draw(size, seed));
                assert!((0.05..=0.12).contains(&share), "{share:.3} of size {size}, seed {seed}");
            }
        }
    }

    #[test]
    fn the_same_eye_comes_at_every_size() {
        let (small, large) = (draw(128, 5), draw(256, 5));
        let agree =
            (0..128 * 128).filter(|at| small.mask[*at] == large.mask[(at / 128 * 2 + 1) * 256 + at % 128 * 2 + 1]).count();
        assert!(agree as f64 / (128.0 * 128.0) > 0.93, "{agree}");
    }

    #[test]
    fn vessels_are_darker_than_what_surrounds_them_but_no_threshold_finds_them() {
        let pair = draw(192, 4);
        let green = |at: usize| f64::from(pair.image[at * 3 + 1]);
        let field: Vec<usize> =
            (0..192 * 192).filter(|&at| distance([(at % 192) as f32, (at / 192) as f32], [95.5; 2]) < 88.0).collect();
        let mean = |vessel: u8| {
            let of: Vec<f64> = field.iter().filter(|&&at| pair.mask[at] == vessel).map(|&at| green(at)).collect();
            of.iter().sum::<f64>() / of.len() as f64
        };
        assert!(mean(255) < 0.9 * mean(0), "{} and {}", mean(255), mean(0));
        let best = (1..255).map(|threshold| {
            let below = |&&at: &&usize| green(at) < f64::from(threshold);
            let found = field.iter().filter(below).count();
            let hits = field.iter().filter(below).filter(|&&at| pair.mask[at] == 255).count();
            2.0 * hits as f64 / (found + field.iter().filter(|&&at| pair.mask[at] == 255).count()) as f64
        });
        let best = best.fold(0.0, f64::max);
        assert!(best < 0.7, "a threshold reaches a Dice of {best}");
    }
}
