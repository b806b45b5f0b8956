//! Writes a small synthetic data set in the layout of FIVES, for `pipeline sample`. Overwrites nothing.

use std::path::Path;

use image::{ExtendedColorType, ImageFormat};
use pipeline_contract::{Result, StageError};

use crate::draw;
use crate::fundus::{CLASS_COLOURS, draw_classes};
use crate::synthetic_fundus::{SIZES, sample_seed};

/// How many pairs were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleSet {
    /// Pairs to train on, in `train/`.
    pub train: usize,
    /// Pairs to test on, in `test/`.
    pub test: usize,
}

/// The letters with which FIVES names what an eye suffers from.
const CLASSES: [char; 4] = ['A', 'D', 'G', 'N'];

/// Draws `pairs` fundus photographs of `size` x `size` pixels with their masks into `train/Original`, `train/Ground truth`,
/// `test/Original` and `test/Ground truth` below `dir`, as `1_A.png`, `2_D.png`, ... About a fifth of them is for testing. With
/// `classes` arteries are red in the masks and veins blue, `[255, 0, 0]` and `[0, 0, 255]`; otherwise both are white.
///
/// # Errors
/// When `dir` holds something already, when `pairs` or `size` is out of range, and when a file can't be written.
pub fn write_sample_set(dir: &Path, pairs: usize, size: usize, seed: u64, classes: bool) -> Result<SampleSet> {
    if pairs < 2 {
        return Err(StageError::new("a set needs a pair to train on and one to test on").help("ask for at least 2 pairs"));
    }
    if !SIZES.contains(&size) {
        let (smallest, largest) = (SIZES.start(), SIZES.end());
        return Err(StageError::new(format!("{size} pixels can't be drawn")).help(format!("choose {smallest} to {largest}")));
    }
    if dir.exists() && std::fs::read_dir(dir).map_err(at(dir))?.next().is_some() {
        return Err(StageError::new(format!("{} is not empty", dir.display())).help("name a new or an empty folder"));
    }
    let test = (pairs / 5).max(1);
    let set = SampleSet { train: pairs - test, test };
    for (split, count) in [("train", set.train), ("test", set.test)] {
        let folders = ["Original", "Ground truth"].map(|name| dir.join(split).join(name));
        for folder in &folders {
            std::fs::create_dir_all(folder).map_err(at(folder))?;
        }
        for number in 1..=count {
            let seed = sample_seed(seed, split, number);
            let pair = if classes { draw_classes(size, seed) } else { draw(size, seed) };
            let (mask, colour): (Vec<u8>, _) = match classes {
                true => {
                    (pair.mask.iter().flat_map(|&class| CLASS_COLOURS[usize::from(class)]).collect(), ExtendedColorType::Rgb8)
                }
                false => (pair.mask, ExtendedColorType::L8),
            };
            let name = format!("{number}_{}.png", CLASSES[(number - 1) % CLASSES.len()]);
            save(&folders[0].join(&name), &pair.image, size, ExtendedColorType::Rgb8)?;
            save(&folders[1].join(&name), &mask, size, colour)?;
        }
    }
    Ok(set)
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> StageError {
    move |error| StageError::from(error).context(path.display())
}

fn save(path: &Path, pixels: &[u8], size: usize, colour: ExtendedColorType) -> Result<()> {
    image::save_buffer_with_format(path, pixels, size as u32, size as u32, colour, ImageFormat::Png)
        .map_err(|error| StageError::new(format!("{} can't be written: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tempfile::tempdir;

    use super::*;
    use crate::testing::{build, context, emitted, mapped};
    use crate::{ImagePair, SampleFiles, decode, fives, synthetic_fundus};

    #[test]
    fn the_set_is_read_back_as_it_was_drawn() {
        let dir = tempdir().unwrap();
        let root = dir.path().join("new/set");
        assert_eq!(write_sample_set(&root, 6, 48, 9, false).unwrap(), SampleSet { train: 5, test: 1 });
        let samples = emitted::<SampleFiles>(&fives::kind(), json!({"root": root, "split": "all"}), 0).unwrap();
        let ids: Vec<&str> = samples.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["test/1_A", "train/1_A", "train/2_D", "train/3_G", "train/4_N", "train/5_A"]);
        let stage = build(&decode::kind(), json!({}), &context()).unwrap();
        let pair: ImagePair = mapped(&stage, samples[2].1.clone(), "train/2_D", 0).unwrap();
        assert_eq!(pair, draw(48, sample_seed(9, "train", 2)));
    }

    #[test]
    fn classes_in_files_are_those_that_the_source_draws() {
        let dir = tempdir().unwrap();
        write_sample_set(dir.path(), 2, 48, 9, true).unwrap();
        let files = emitted::<SampleFiles>(&fives::kind(), json!({"root": dir.path(), "split": "train"}), 0).unwrap();
        let given = json!({"pairs": 1, "size": 48, "seed": 9, "classes": true});
        let drawn = emitted::<SampleFiles>(&synthetic_fundus::kind(), given, 0).unwrap();
        // Also where the labels stand in another order.
        let given = json!({"labels": {"vein": [0, 0, 255], "artery": [255, 0, 0]}});
        let stage = build(&decode::kind(), given, &context()).unwrap();
        let decoded = |samples: &[(String, SampleFiles)]| mapped::<_, ImagePair>(&stage, samples[0].1.clone(), "a", 0).unwrap();
        assert_eq!(decoded(&files), decoded(&drawn));
        let swapped: Vec<u8> =
            draw_classes(48, sample_seed(9, "train", 1)).mask.iter().map(|&class| [0, 2, 1][usize::from(class)]).collect();
        assert_eq!(decoded(&files).mask, swapped);
        assert!([0, 1, 2].iter().all(|class| swapped.contains(class)));
    }

    #[test]
    fn what_is_there_is_not_touched() {
        let dir = tempdir().unwrap();
        std::fs::write(dir.path().join("mine.txt"), "mine").unwrap();
        let error = write_sample_set(dir.path(), 4, 48, 0, false).unwrap_err();
        assert!(error.message().ends_with("is not empty"), "{error}");
        assert!(write_sample_set(&dir.path().join("a"), 1, 48, 0, false).is_err());
        assert!(write_sample_set(&dir.path().join("a"), 4, 8, 0, false).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
