//! The focal loss of a pixel. With `m` the probability of the wrong class, it is `a m^gamma -ln(1 - m)`; a pixel that is partly mask
//! has the mean over its parts.

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
        let [background, mask] = pixel.entropies();
        pixel.of([
            self.sum(0, |gamma| power(pixel.p, mask, gamma) * background),
            self.sum(1, |gamma| power(pixel.q, background, gamma) * mask),
        ])
    }

    /// Its derivative: with `s` -1 on the mask and 1 elsewhere, `a s m^gamma (gamma (1 - m) -ln(1 - m) + m)`.
    #[inline(always)]
    pub fn slope(self, pixel: Pixel) -> f32 {
        let (Pixel { p, q, .. }, [background, mask]) = (pixel, pixel.entropies());
        pixel.of([
            self.sum(0, |gamma| power(p, mask, gamma) * (gamma * q * background + p)),
            -self.sum(1, |gamma| power(q, background, gamma) * (gamma * p * mask + q)),
        ])
    }

    /// The weighted sum for the background (class 0) or the mask (class 1).
    #[inline(always)]
    fn sum(self, class: usize, value: impl Fn(f32) -> f32) -> f32 {
        let mut sum = 0.0;
        for weighted in self.0 {
            if let Term::Focal { gamma, alpha } = weighted.term {
                let balance = alpha.map_or(1.0, |alpha| [1.0 - alpha, alpha][class]);
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
