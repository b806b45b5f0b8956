//! What tells a photograph and a mask apart from all others: digests of their decoded pixels, which are equal in files of other names
//! and formats. It compares nothing.

use std::path::Path;

use pipeline_contract::{Fingerprint, Part, Result, Stored};
use sha2::{Digest as _, Sha256};

use crate::SampleFiles;
use crate::open::open;
use crate::read::Opened;

/// A file with more pixels isn't fingerprinted. As the default of `max_pixels` of `decode`.
const MAX_PIXELS: u64 = 100_000_000;

/// The parts of a sample.
pub(crate) fn parts(files: SampleFiles) -> Vec<Part> {
    let file = |name, path, read: fn(&Path) -> Result<Option<Fingerprint>>| Part { name, stored: Stored::File { path, read } };
    match files {
        SampleFiles::Pair { image, mask, .. } => vec![file("photograph", image, photograph), file("mask", mask, self::mask)],
        SampleFiles::Photograph(path) => vec![file("photograph", path, photograph)],
        // With and without classes it is the same eye.
        SampleFiles::Drawn { size, seed, .. } => {
            vec![Part { name: "photograph", stored: Stored::Computed(drawn(size, seed)) }]
        }
    }
}

fn drawn(size: usize, seed: u64) -> Fingerprint {
    let mut digest = Sha256::new_with_prefix(b"drawn");
    digest.update((size as u64).to_le_bytes());
    digest.update(seed.to_le_bytes());
    digest.finalize().into()
}

fn pixels(opened: &Opened<'_>) -> Sha256 {
    let mut digest = Sha256::new();
    digest.update((opened.height as u64).to_le_bytes());
    digest.update((opened.width as u64).to_le_bytes());
    digest
}

/// By its pixels in 8-bit RGB. One without any difference between its pixels says nothing.
fn photograph(path: &Path) -> Result<Option<Fingerprint>> {
    let opened = open(path, MAX_PIXELS)?;
    let digest = pixels(&opened);
    let rgb = opened.rgb()?;
    let varies = rgb.chunks_exact(3).any(|pixel| pixel != &rgb[..3]);
    Ok(varies.then(|| digest.chain_update(&rgb).finalize().into()))
}

/// By which pixels are vessel; where that is all of them or none, as in a mask of small class numbers, by its colours. A mask of one
/// colour says nothing.
fn mask(path: &Path) -> Result<Option<Fingerprint>> {
    let opened = open(path, MAX_PIXELS)?;
    let digest = pixels(&opened);
    let cut = opened.quiet_mask()?;
    if cut.iter().any(|&value| value != cut[0]) {
        return Ok(Some(digest.chain_update(&cut).finalize().into()));
    }
    photograph(path)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage};
    use tempfile::tempdir;

    use super::*;

    #[test]
    fn equal_pixels_are_equal_in_any_format_and_uniform_masks_say_nothing() {
        let dir = tempdir().unwrap();
        let save = |name: &str, image: &DynamicImage| -> PathBuf {
            let path = dir.path().join(name);
            image.save(&path).unwrap();
            path
        };
        let photo = DynamicImage::from(RgbImage::from_fn(9, 7, |x, y| Rgb([x as u8, y as u8, 7])));
        let of = |path: PathBuf| photograph(&path).unwrap();
        let png = of(save("a.png", &photo));
        assert!(png.is_some() && png == of(save("b.tiff", &photo)) && png == of(save("c.ppm", &photo)));
        assert_eq!(png, of(save("d.png", &photo.to_rgba8().into())), "alpha isn't looked at");
        assert_ne!(png, of(save("e.png", &photo.flipv())));
        let vessels = |on: u8| GrayImage::from_fn(9, 7, move |x, _| Luma([if x % 3 == 1 { on } else { 0 }]));
        let of = |path: PathBuf| mask(&path).unwrap();
        let white = of(save("white.png", &vessels(255).into()));
        assert_eq!(white, of(save("one.tiff", &vessels(1).into())), "0 and 1 are 0 and 255");
        assert_eq!(white, of(save("rgb.png", &DynamicImage::from(vessels(255)).to_rgb8().into())));
        assert_eq!(of(save("none.png", &GrayImage::new(9, 7).into())), None);
        assert_eq!(of(save("all.png", &GrayImage::from_pixel(9, 7, Luma([255])).into())), None);
        // Class numbers, all below half of the range.
        let classes = |on| GrayImage::from_fn(9, 7, move |x, _| Luma([[0, 1, on][x as usize % 3]]));
        assert_eq!(of(save("classes.png", &classes(2).into())), of(save("classes.tiff", &classes(2).into())));
        assert_ne!(of(save("classes.png", &classes(2).into())), of(save("others.png", &classes(3).into())));
        // The same bytes in another shape.
        assert_ne!(
            of(save("turned.png", &vessels(255).into())),
            of(save("rows.png", &DynamicImage::from(vessels(255)).rotate90()))
        );
        std::fs::write(dir.path().join("broken.png"), b"no image").unwrap();
        assert!(mask(&dir.path().join("broken.png")).is_err());
    }
}
