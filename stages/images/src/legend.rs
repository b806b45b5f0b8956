//! A strip of names, each beside its colour, that says what the colours of a picture stand for.

use image::{Rgb, RgbImage};

use crate::classes::{Classes, IGNORED};
use crate::letters::{LETTER, fill, shortened, write};
use crate::palette::colour;

/// What a legend lists: a name and its colour.
pub(crate) type Entry = (String, [u8; 3]);

/// The most letters of a name that are shown.
const LONGEST: usize = 40;

/// The classes with their colours, the background first, and what is ignored where that may be.
pub(crate) fn entries(classes: &Classes) -> Vec<Entry> {
    let ignored = classes.ignored.then(|| ("ignored".to_owned(), colour(IGNORED)));
    let names = classes.names.iter().take(usize::from(IGNORED)).enumerate();
    names.map(|(number, name)| (name.clone(), colour(number as u8))).chain(ignored).collect()
}

/// Draws entries beside each other, in as many lines as a picture of `width` pixels needs. A name that is wider widens it.
pub(crate) fn legend(entries: &[Entry], width: usize) -> RgbImage {
    // Small letters can't be read in a picture that is shown smaller than it is.
    let scale = (width / 500).clamp(1, 4);
    let unit = LETTER * scale;
    let names: Vec<Vec<char>> = entries.iter().map(|(name, _)| shortened(name, LONGEST)).collect();
    // A margin, the square, half a letter, the name.
    let wide = |name: &[char]| 2 * unit + unit / 2 + name.len() * unit;
    let (mut places, mut left, mut line, mut widest) = (Vec::new(), 0, 0, width);
    for name in &names {
        if left > 0 && left + wide(name) > width {
            (left, line) = (0, line + 1);
        }
        places.push([left, line]);
        left += wide(name);
        widest = widest.max(left);
    }
    let high = unit + unit / 2;
    let mut picture = RgbImage::from_pixel(widest as u32, ((line + 1) * high + unit / 2) as u32, Rgb([255; 3]));
    for ((name, (_, colour)), [left, line]) in names.iter().zip(entries).zip(places) {
        let (left, top) = (left + unit / 2, line * high + unit / 2);
        fill(&mut picture, [left, top], unit, [0; 3]);
        fill(&mut picture, [left + scale, top + scale], unit - 2 * scale, *colour);
        write(&mut picture, [left + unit + unit / 2, top], scale, name);
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str], width: usize) -> RgbImage {
        let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
        legend(&entries(&Classes { names, ignored: false }), width)
    }

    #[test]
    fn each_class_has_its_colour_and_its_name() {
        let picture = of(&["background", "I"], 300);
        assert_eq!(picture.dimensions(), (300, 16));
        // The second entry begins after 2.5 units and 10 letters; its square is half a unit in.
        let left = 20 + 80 + 4;
        assert_eq!(picture.get_pixel(left + 3, 8).0, colour(1));
        let ink = |from: u32| {
            (4..12)
                .flat_map(|y| (from..from + 8).map(move |x| (x, y)))
                .filter(|&(x, y)| picture.get_pixel(x, y).0 == [0; 3])
                .count()
        };
        assert!(ink(left + 12) > 8, "the letter I");
        assert_eq!(ink(left + 20), 0, "no letter after it");
    }

    #[test]
    fn names_that_find_no_room_go_into_the_next_line() {
        assert_eq!(of(&["background", "artery"], 120).dimensions(), (120, 28));
        assert_eq!(of(&["a", &"long ".repeat(30)], 10).dimensions(), (20 + 40 * 8, 28), "cut, and still wider");
        assert_eq!(of(&["background"], 1200).height(), 32);
    }
}
