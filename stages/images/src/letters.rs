//! Letters drawn into pictures, in a font of 8 x 8 pixels that is part of the program. What is written is others' business.

use font8x8::legacy::{BASIC_LEGACY, GREEK_LEGACY, LATIN_LEGACY};
use image::{Rgb, RgbImage};

/// Side of a letter in pixels, at scale 1.
pub(crate) const LETTER: usize = 8;

/// Writes black letters beside each other, each `scale` times its size. What is outside of the picture is left out.
pub(crate) fn write(picture: &mut RgbImage, [left, top]: [usize; 2], scale: usize, letters: &[char]) {
    for (at, &letter) in letters.iter().enumerate() {
        let left = left + at * LETTER * scale;
        for (y, row) in glyph(letter).into_iter().enumerate() {
            for x in (0..LETTER).filter(|x| row >> x & 1 == 1) {
                fill(picture, [left + x * scale, top + y * scale], scale, [0; 3]);
            }
        }
    }
}

/// A square of one colour; what is outside of the picture is left out.
pub(crate) fn fill(picture: &mut RgbImage, [left, top]: [usize; 2], side: usize, colour: [u8; 3]) {
    for y in top..top + side {
        for x in left..left + side {
            if let Some(pixel) = picture.get_pixel_mut_checked(x as u32, y as u32) {
                *pixel = Rgb(colour);
            }
        }
    }
}

/// The letters that are shown, `longest` at most: the end of a longer text becomes `...`. Accents that stand for themselves have no room of their own.
pub(crate) fn shortened(text: &str, longest: usize) -> Vec<char> {
    let letters: Vec<char> = text.chars().filter(|letter| !('\u{300}'..='\u{36f}').contains(letter)).collect();
    match letters.len() <= longest {
        true => letters,
        false => letters[..longest.saturating_sub(3)].iter().copied().chain("...".chars()).take(longest).collect(),
    }
}

/// A letter's rows, the lowest bit at the left: Latin and Greek letters as far as the font has them, a box for all others.
fn glyph(letter: char) -> [u8; LETTER] {
    const BOX: [u8; LETTER] = [0x7f, 0x41, 0x41, 0x41, 0x41, 0x41, 0x7f, 0];
    let tables = [(0, &BASIC_LEGACY[..]), (0xa0, &LATIN_LEGACY[..]), (0x390, &GREEK_LEGACY[..])];
    let found = tables.iter().find_map(|(first, table)| table.get((letter as usize).checked_sub(*first)?));
    found.copied().unwrap_or(BOX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_the_font_lacks_are_boxes() {
        assert_ne!(glyph('é'), glyph('e'));
        assert_ne!(glyph('α'), glyph('動'));
        assert_eq!(glyph('動'), glyph('\u{10ffff}'));
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(shortened("ve\u{301}ine", 40), ['v', 'e', 'i', 'n', 'e']);
        assert_eq!(shortened("photograph", 6), ['p', 'h', 'o', '.', '.', '.']);
        assert_eq!((shortened("photograph", 2), shortened("photograph", 0)), (vec!['.', '.'], vec![]));
    }

    #[test]
    fn letters_stand_where_they_are_written_and_nowhere_else() {
        let mut picture = RgbImage::from_pixel(20, 12, Rgb([255; 3]));
        write(&mut picture, [4, 2], 1, &['I', 'I']);
        let black: Vec<(u32, u32)> =
            picture.enumerate_pixels().filter(|(_, _, pixel)| pixel.0 == [0; 3]).map(|(x, y, _)| (x, y)).collect();
        assert!(black.len() > 16 && black.iter().all(|(x, y)| (4..20).contains(x) && (2..10).contains(y)), "{black:?}");
        write(&mut picture, [18, 9], 3, &['W']);
    }
}
