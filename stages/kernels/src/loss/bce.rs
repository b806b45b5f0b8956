//! Binary cross-entropy. All such terms of a list are merged into one weight for the background and one for the mask.

use super::{Term, WeightedTerm};

/// The weights of a pixel's cross-entropy, `[background, mask]`; `None` without such a term. The derivative of the
/// cross-entropy is `p - y`.
pub(super) fn weights(terms: &[WeightedTerm]) -> Option<[f32; 2]> {
    let of = |weighted: &WeightedTerm| match weighted.term {
        Term::Bce { pos_weight } => Some([weighted.weight, weighted.weight * pos_weight]),
        _ => None,
    };
    terms.iter().filter_map(of).reduce(|a, b| [a[0] + b[0], a[1] + b[1]])
}
