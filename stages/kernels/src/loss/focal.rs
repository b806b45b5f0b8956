//! The focal loss of a pixel. With `m` the probability of the wrong class, it is `a m^gamma -ln(1 - m)`.

use super::pixel::Pixel;
use super::{Term, WeightedTerm};

/// The focal terms of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Focal<'a>(&'a [WeightedTerm]);

impl<'a> Focal<'a> {
    /// `None` without such a term.
    pub fn of(terms: &'a [WeightedTerm]) -> Option<Self> {
        terms.iter().any(|weighted| matches!(weighted.term, Term::Focal { .. })).then_some(Self(terms))
    }

    /// The weighted sum of the terms.
    #[inline(always)]
    pub fn value(self, pixel: Pixel) -> f32 {
        let ([entropy, wrong], miss) = (pixel.entropies(), pixel.of([pixel.p, pixel.q]));
        self.sum(pixel, |gamma| power(miss, wrong, gamma) * entropy)
    }

    /// Its derivative: with `s` -1 on the mask and 1 elsewhere, `a s m^gamma (gamma (1 - m) -ln(1 - m) + m)`.
    #[inline(always)]
    pub fn slope(self, pixel: Pixel) -> f32 {
        let [entropy, wrong] = pixel.entropies();
        let (hit, miss) = (pixel.of([pixel.q, pixel.p]), pixel.of([pixel.p, pixel.q]));
        let size = self.sum(pixel, |gamma| power(miss, wrong, gamma) * (gamma * hit * entropy + miss));
        pixel.of([size, -size])
    }

    #[inline(always)]
    fn sum(self, pixel: Pixel, value: impl Fn(f32) -> f32) -> f32 {
        let mut sum = 0.0;
        for weighted in self.0 {
            if let Term::Focal { gamma, alpha } = weighted.term {
                let balance = alpha.map_or(1.0, |alpha| pixel.of([1.0 - alpha, alpha]));
                sum += weighted.weight * balance * value(gamma);
            }
        }
        sum
    }
}

/// `m^gamma` for `wrong = -ln m`; for the paper's gamma of 2 without another exponential.
#[inline(always)]
fn power(miss: f32, wrong: f32, gamma: f32) -> f32 {
    if gamma == 2.0 { miss * miss } else { (-gamma * wrong).exp() }
}
