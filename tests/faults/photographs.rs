//! Folders of photographs in the layout of FIVES, and how they are broken: real ones where they lie beside the checkout,
//! drawn ones elsewhere.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use image::{GrayImage, Rgb, RgbImage};

use super::{pipeline, root};

/// The two folders of a split.
const FOLDERS: [&str; 2] = ["Original", "Ground truth"];

/// A folder of twelve pairs to train on and three or two to test on.
pub struct Photographs {
    root: PathBuf,
    /// The names of the training pairs, without extension, in the order in which they are listed.
    pub train: Vec<String>,
    /// Those of the test pairs.
    pub test: Vec<String>,
}

/// What is done to a pair.
#[derive(Debug, Clone, Copy)]
pub enum Break {
    CutOff,
    NoImage,
    WrongExtension,
    Empty,
    MaskOfAnotherSize,
    Black,
    Bomb,
    MaskGone,
    ImageGone,
    Unreadable,
}

impl Break {
    pub const ALL: [Self; 10] = [
        Self::CutOff,
        Self::NoImage,
        Self::WrongExtension,
        Self::Empty,
        Self::MaskOfAnotherSize,
        Self::Black,
        Self::Bomb,
        Self::MaskGone,
        Self::ImageGone,
        Self::Unreadable,
    ];

    /// A part of what is said of it.
    pub fn said(self) -> &'static str {
        match self {
            Self::CutOff => "can't be decoded",
            Self::NoImage => "is no PNG",
            Self::Empty => "empty (0 bytes)",
            Self::MaskOfAnotherSize => "differ in size",
            Self::Black => "is black",
            Self::Bomb => "claims 60000 x 60000 pixels",
            Self::MaskGone => "no mask in",
            Self::WrongExtension | Self::ImageGone => "no image in",
            Self::Unreadable => "can't be read",
        }
    }
}

impl Photographs {
    /// Real photographs where there are any, otherwise drawn ones.
    pub fn new(to: &Path) -> Self {
        let real = root().join("../shared/data/FIVES");
        if !real.exists() {
            eprintln!("no real photographs beside the checkout: drawn ones are broken instead");
            return Self::drawn(to, 15, 96);
        }
        for split in ["train", "test"] {
            for folder in FOLDERS {
                fs::create_dir_all(to.join(split).join(folder)).unwrap();
                for file in fs::read_dir(real.join(split).join(folder)).unwrap().flatten() {
                    fs::copy(file.path(), to.join(split).join(folder).join(file.file_name())).unwrap();
                }
            }
        }
        Self::there(to)
    }

    /// Drawn ones, about a fifth of them for testing.
    pub fn drawn(to: &Path, pairs: usize, size: usize) -> Self {
        let (pairs, size) = (pairs.to_string(), size.to_string());
        let drawn = pipeline(&["sample", to.to_str().unwrap(), "--pairs", &pairs, "--size", &size]);
        assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
        Self::there(to)
    }

    fn there(root: &Path) -> Self {
        let names = |split: &str| {
            let files = fs::read_dir(root.join(split).join("Original")).unwrap().flatten();
            let mut names: Vec<String> =
                files.map(|file| file.path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
            names.sort_by_key(|name| name.split('_').next().and_then(|number| number.parse::<u32>().ok()));
            names
        };
        Self { root: root.into(), train: names("train"), test: names("test") }
    }

    /// An image's or a mask's file.
    pub fn file(&self, split: &str, mask: bool, name: &str) -> PathBuf {
        self.root.join(split).join(FOLDERS[usize::from(mask)]).join(format!("{name}.png"))
    }

    /// Breaks a pair.
    pub fn breaks(&self, split: &str, name: &str, how: Break) {
        let (image, mask) = (self.file(split, false, name), self.file(split, true, name));
        match how {
            Break::CutOff => {
                let bytes = fs::read(&image).unwrap();
                fs::write(&image, &bytes[..bytes.len() / 2]).unwrap();
            }
            Break::NoImage => fs::write(&image, "name,diagnosis\n3_A,healthy\n").unwrap(),
            Break::WrongExtension => fs::rename(&image, image.with_extension("txt")).unwrap(),
            Break::Empty => fs::write(&image, "").unwrap(),
            Break::MaskOfAnotherSize => GrayImage::new(50, 40).save(&mask).unwrap(),
            Break::Black => {
                let (width, height) = image::image_dimensions(&image).unwrap();
                RgbImage::from_pixel(width, height, Rgb([2, 1, 0])).save(&image).unwrap();
            }
            // 10 GB of pixels, in 19 bytes.
            Break::Bomb => fs::write(&image, "P6\n60000 60000\n255\n").unwrap(),
            Break::MaskGone => fs::remove_file(&mask).unwrap(),
            Break::ImageGone => fs::remove_file(&image).unwrap(),
            Break::Unreadable => forbid(&image),
        }
    }
}

/// Removes the permission to read; `unprivileged` runs the program as another user, whom that stops.
fn forbid(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
}
