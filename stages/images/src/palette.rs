//! The colours in which pictures show classes. Fixed, so that a class looks alike in all pictures.

use crate::IGNORED;

/// Seven colours that people tell apart whatever their colour vision: Okabe and Ito, "Color Universal Design" (2008), as in Wong, "Points of view: Color blindness", Nature Methods 8, 441 (2011). In an order in which neighbours differ most, also
/// beside the reds of a fundus.
const SAFE: [[u8; 3]; 7] =
    [[230, 159, 0], [86, 180, 233], [240, 228, 66], [0, 158, 115], [204, 121, 167], [0, 114, 178], [213, 94, 0]];

/// Pixels that belong to no class.
pub(crate) const IGNORED_COLOUR: [u8; 3] = [128; 3];

/// The colour of a class: black for the background, grey for what is ignored. After seven classes the colours come again, lighter
/// and darker in turn.
pub fn colour(class: u8) -> [u8; 3] {
    let Some(number) = class.checked_sub(1) else { return [0; 3] };
    if class == IGNORED {
        return IGNORED_COLOUR;
    }
    let (base, round) = (SAFE[usize::from(number) % SAFE.len()], u32::from(number) / SAFE.len() as u32);
    // The 36 rounds after the first: steps of a 24th towards white and towards black.
    let (towards, step) = if round % 2 == 1 { (255, round.div_ceil(2)) } else { (0, round / 2) };
    let share = [0, 12, 6, 15, 3, 9, 17, 1, 14, 5, 10, 7, 13, 2, 16, 4, 8, 11, 18][step as usize];
    base.map(|value| ((u32::from(value) * (24 - share) + towards * share) / 24) as u8)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_class_has_a_colour_of_its_own() {
        let all: BTreeSet<_> = (0..=255).map(colour).collect();
        assert_eq!(all.len(), 256);
        assert_eq!((colour(0), colour(1), colour(255)), ([0; 3], SAFE[0], IGNORED_COLOUR));
        assert!(!all.contains(&[255; 3]), "white marks errors");
    }
}
