//! Colours in one pass: green channel alone, hue, saturation, falloff of light, contrast, brightness, gamma.

use super::drawn::Drawn;
use super::options::Options;

/// What becomes of the colours of one sample.
pub(super) struct Colours {
    /// Mixes the channels: rows of weights, for red, green and blue.
    mix: Option<[[f32; 3]; 3]>,
    light: Option<Falloff>,
    tone: Option<Tone>,
}

/// `(x * contrast + brightness)`, clamped to 0..1, then to the power of gamma.
#[derive(Clone, Copy)]
struct Tone {
    factor: f32,
    added: f32,
    power: Option<f32>,
}

/// Light that falls off evenly from 1 at one side to `1 - strength` at the other.
#[derive(Clone, Copy)]
struct Falloff {
    strength: f32,
    /// Where it falls off to, in radians.
    direction: f32,
}

impl Colours {
    pub fn new(options: &Options, drawn: &Drawn) -> Self {
        let green = options.green > 0.0 && drawn.green.within(options.green);
        let recolours = options.hue > 0.0 || options.saturation > 0.0;
        // What was made grey has no hue.
        let mix = match (green, recolours) {
            (true, _) => Some([[0.0, 1.0, 0.0]; 3]),
            (false, true) => Some(hue_and_saturation(options.hue * drawn.hue, 1.0 + options.saturation * drawn.saturation)),
            (false, false) => None,
        };
        let light = (options.falloff > 0.0).then_some(Falloff {
            strength: options.falloff * drawn.falloff,
            direction: std::f32::consts::TAU * drawn.falloff_direction,
        });
        let tone = (options.contrast > 0.0 || options.brightness > 0.0 || options.gamma > 0.0).then(|| Tone {
            factor: 1.0 + options.contrast * drawn.contrast,
            added: options.brightness * drawn.brightness,
            power: (options.gamma > 0.0).then(|| libm::expf(options.gamma * drawn.gamma)),
        });
        Self { mix, light, tone }
    }

    /// Changes an image, RGB `[height, width, 3]`.
    pub fn apply(&self, image: &mut [u8], height: usize, width: usize) {
        if self.mix.is_none() && self.light.is_none() {
            let Some(tone) = self.tone else { return };
            let table: [u8; 256] = std::array::from_fn(|value| tone.of(value as f32));
            image.iter_mut().for_each(|value| *value = table[usize::from(*value)]);
            return;
        }
        let mix = self.mix.unwrap_or([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        let tone = self.tone.unwrap_or(Tone { factor: 1.0, added: 0.0, power: None });
        // Of values between the whole ones, so that they are rounded once.
        let table: Vec<u8> = (0..=255 * FINE).map(|value| tone.of(value as f32 / FINE as f32)).collect();
        let light = self.light.unwrap_or(Falloff { strength: 0.0, direction: 0.0 }).over(height, width);
        for (y, row) in image.chunks_exact_mut((width * 3).max(1)).enumerate() {
            let (first, slope) = (light.first + y as f32 * light.down, light.right);
            for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let scale = (first + x as f32 * slope) * FINE as f32;
                let [red, green, blue] = pixel.map(f32::from);
                for (value, weights) in pixel.iter_mut().zip(&mix) {
                    let mixed = (weights[0] * red + weights[1] * green + weights[2] * blue) * scale;
                    // A cast keeps what is negative at 0.
                    let at = ((mixed + 0.5) as u32).min(255 * FINE as u32);
                    *value = table[at as usize];
                }
            }
        }
    }
}

/// Steps of the table in one step of 8 bit.
const FINE: usize = 16;

impl Tone {
    /// What becomes of a value from 0 to 255.
    fn of(self, value: f32) -> u8 {
        let linear = (value / 255.0 * self.factor + self.added).clamp(0.0, 1.0);
        let value = self.power.map_or(linear, |power| libm::powf(linear, power));
        (value * 255.0 + 0.5) as u8
    }
}

/// Light over an image: at pixel (0, 0), and what is added for each pixel to the right and down.
struct Light {
    first: f32,
    right: f32,
    down: f32,
}

impl Falloff {
    fn over(self, height: usize, width: usize) -> Light {
        let (sin, cos) = libm::sincosf(self.direction);
        let (far_right, far_down) = (width.saturating_sub(1) as f32 / 2.0, height.saturating_sub(1) as f32 / 2.0);
        // From the middle to the darkest corner along the direction.
        let reach = (cos.abs() * far_right + sin.abs() * far_down).max(f32::MIN_POSITIVE);
        let (right, down) = (-self.strength * cos / (2.0 * reach), -self.strength * sin / (2.0 * reach));
        if far_right + far_down == 0.0 {
            return Light { first: 1.0, right: 0.0, down: 0.0 };
        }
        Light { first: 1.0 - self.strength / 2.0 - right * far_right - down * far_down, right, down }
    }
}

/// What of red, green and blue is luminance: Rec. 601, as in YIQ, JPEG and OpenCV's grey.
pub(super) const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// A quarter turn of the hue about the grey axis of YIQ, as a matrix for colours less their luminance.
const QUARTER: [[f32; 3]; 3] = [[-0.168, -0.330, 0.498], [0.328, -0.035, -0.293], [-1.250, 1.050, 0.200]];

/// The matrix that turns colours about grey by a share of the colour circle and multiplies their distance from it. Luminance stays. Without a turn it is
/// torchvision's `adjust_saturation`; the turn is that of SVG's `hueRotate`, with Rec. 601's weights.
fn hue_and_saturation(turn: f32, saturation: f32) -> [[f32; 3]; 3] {
    let (sin, cos) = libm::sincosf(std::f32::consts::TAU * turn);
    std::array::from_fn(|row| {
        std::array::from_fn(|column| {
            let own = if row == column { 1.0 } else { 0.0 };
            LUMA[column] + saturation * (cos * (own - LUMA[column]) + sin * QUARTER[row][column])
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(colours: &Colours, pixel: [u8; 3]) -> [u8; 3] {
        let mut image = pixel.to_vec();
        colours.apply(&mut image, 1, 1);
        image.try_into().unwrap()
    }

    fn mixed(turn: f32, saturation: f32, pixel: [u8; 3]) -> [u8; 3] {
        changed(&Colours { mix: Some(hue_and_saturation(turn, saturation)), light: None, tone: None }, pixel)
    }

    #[test]
    fn saturation_is_that_of_torchvision() {
        // Grey is 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2; half the saturation is the mean of that and each value.
        assert_eq!(mixed(0.0, 0.5, [200, 100, 50]), [162, 112, 87]);
        assert_eq!(mixed(0.0, 1.2, [200, 100, 50]), [215, 95, 35]);
        assert_eq!(mixed(0.0, 0.0, [200, 100, 50]), [124; 3]);
        assert_eq!(mixed(0.0, 1.0, [200, 100, 50]), [200, 100, 50]);
    }

    #[test]
    fn hue_turns_about_grey_and_keeps_luminance() {
        let luma = |pixel: [u8; 3]| pixel.iter().zip(LUMA).map(|(&value, weight)| f32::from(value) * weight).sum::<f32>();
        for turn in [-0.3, -0.05, 0.02, 0.1, 0.5] {
            assert_eq!(mixed(turn, 1.0, [77; 3]), [77; 3]);
            let turned = mixed(turn, 1.0, [120, 100, 90]);
            assert!((luma(turned) - luma([120, 100, 90])).abs() < 1.0, "{turn}: {turned:?}");
            assert_ne!(turned, [120, 100, 90]);
        }
        // Half the circle is the complement, as far from the luminance of 104.84 on the other side: 89.68, 109.68, 119.68.
        assert_eq!(mixed(0.5, 1.0, [120, 100, 90]), [90, 110, 120]);
        // Reds turn towards yellow first.
        let [_, green, blue] = mixed(0.05, 1.0, [150, 80, 80]);
        assert!(green > blue);
    }

    #[test]
    fn the_quarter_turn_is_that_of_yiq() {
        // numpy: T = [[.299, .587, .114], [.5959, -.2746, -.3213], [.2115, -.5227, .3112]]; inv(T) @ [[0, 0, 0], [0, 0, 1], [0, -1, 0]] @ T
        let [yiq, back] = [
            [[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]],
            [[1.0, 0.956, 0.619], [1.0, -0.272, -0.647], [1.0, -1.106, 1.703]],
        ];
        for row in 0..3 {
            for column in 0..3 {
                let expected: f32 = back[row][1] * yiq[2][column] - back[row][2] * yiq[1][column];
                assert!((QUARTER[row][column] - expected).abs() < 0.02, "{row} {column}: {expected}");
            }
        }
        assert!(QUARTER.iter().all(|row| row.iter().sum::<f32>().abs() < 1e-6), "grey stays");
    }

    #[test]
    fn light_falls_off_from_side_to_side() {
        let (height, width) = (5, 9);
        let fallen = |direction: f32| {
            let mut image = vec![200; height * width * 3];
            let light = Some(Falloff { strength: 0.5, direction });
            Colours { mix: None, light, tone: None }.apply(&mut image, height, width);
            image.chunks(3).map(|pixel| pixel[0]).collect::<Vec<_>>()
        };
        let right = fallen(0.0);
        assert_eq!(&right[..9], [200, 188, 175, 163, 150, 138, 125, 113, 100]);
        assert_eq!(right[36..], right[..9]);
        let down = fallen(std::f32::consts::FRAC_PI_2);
        assert_eq!([down[0], down[18], down[44]], [200, 150, 100]);
        let corner = fallen(std::f32::consts::PI * 1.25);
        assert_eq!([corner[0], corner[44]], [100, 200]);
    }

    #[test]
    fn all_colours_are_rounded_once() {
        let tone = Tone { factor: 1.3, added: -0.1, power: Some(1.4) };
        let light = Falloff { strength: 0.4, direction: 0.7 };
        let (height, width) = (16, 16);
        let mix = hue_and_saturation(0.04, 1.2);
        let image: Vec<u8> = (0..height * width * 3).map(|at| (at * 37 % 256) as u8).collect();
        let mut changed = image.clone();
        Colours { mix: Some(mix), light: Some(light), tone: Some(tone) }.apply(&mut changed, height, width);
        let at = light.over(height, width);
        for (place, (now, was)) in changed.chunks(3).zip(image.chunks(3)).enumerate() {
            let scale = at.first + at.right * (place % width) as f32 + at.down * (place / width) as f32;
            for (value, weights) in now.iter().zip(mix) {
                let mixed: f32 = weights.iter().zip(was).map(|(weight, &value)| weight * f32::from(value)).sum::<f32>() * scale;
                let exact = (mixed.clamp(0.0, 255.0) / 255.0 * 1.3 - 0.1).clamp(0.0, 1.0).powf(1.4) * 255.0;
                assert!((exact - f32::from(*value)).abs() < 0.6, "{exact}, not {value}");
            }
        }
    }

    #[test]
    fn green_alone_is_exact() {
        let green = Colours { mix: Some([[0.0, 1.0, 0.0]; 3]), light: None, tone: None };
        for value in 0..=255 {
            assert_eq!(changed(&green, [3, value, 250]), [value; 3]);
        }
    }
}
