//! Public data sets' layouts, drawn small into a folder: each sample's photograph, mask and field of view are its own, so that a wrong pairing is seen.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage};

pub const WIDTH: u32 = 64;
pub const HEIGHT: u32 = 48;

/// Photograph and mask of a sample, below the folder, and the number by which they are drawn.
pub struct Files {
    pub number: u32,
    pub image: String,
    pub mask: String,
}

/// A data set in its layout.
pub struct Layout {
    pub folder: tempfile::TempDir,
    /// By id; of all parts.
    pub samples: BTreeMap<String, Files>,
}

/// The mean red of a sample's photograph.
pub fn red(number: u32) -> u8 {
    (60 + 6 * number) as u8
}

fn photograph(number: u32) -> DynamicImage {
    RgbImage::from_fn(WIDTH, HEIGHT, |x, y| Rgb([red(number), 40 + x as u8, 90 - y as u8])).into()
}

/// Whether a pixel of a sample's mask is vessel: a bar whose place is the sample's number.
pub fn is_vessel(number: u32, x: u32) -> bool {
    (3 + 2 * number..6 + 2 * number).contains(&x)
}

fn mask(number: u32) -> DynamicImage {
    RgbImage::from_fn(WIDTH, HEIGHT, |x, _| Rgb([if is_vessel(number, x) { 255 } else { 0 }; 3])).into()
}

/// A class of a sample's mask: 1 above and 2 below.
pub fn class(number: u32, x: u32, y: u32) -> u8 {
    match (is_vessel(number, x), y < HEIGHT / 2) {
        (false, _) => 0,
        (true, above) => 2 - u8::from(above),
    }
}

/// Whether a pixel is in a sample's field of view.
pub fn is_inside(number: u32, x: u32, y: u32) -> bool {
    x > number && y > 2 && y < HEIGHT - 1 - number
}

fn field(number: u32) -> DynamicImage {
    RgbImage::from_fn(WIDTH, HEIGHT, |x, y| Rgb([if is_inside(number, x, y) { 255 } else { 0 }; 3])).into()
}

impl Layout {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), samples: BTreeMap::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, image: DynamicImage) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if name.ends_with(".gz") {
            let plain = path.with_extension("");
            image.save(&plain).unwrap();
            assert!(std::process::Command::new("gzip").arg("-f").arg(&plain).status().unwrap().success());
        } else {
            image.save(path).unwrap();
        }
    }

    fn add(&mut self, id: &str, [image_name, mask_name]: [String; 2], masks: fn(u32) -> DynamicImage) -> u32 {
        let number = self.samples.len() as u32;
        self.write(&image_name, photograph(number));
        self.write(&mask_name, masks(number));
        self.samples.insert(id.into(), Files { number, image: image_name, mask: mask_name });
        number
    }

    /// What programs leave in each folder.
    fn litter(self) -> Self {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
                walk(&path, found);
                found.push(path);
            }
        }
        let mut folders = vec![self.folder.path().to_path_buf()];
        walk(self.folder.path(), &mut folders);
        for folder in folders {
            let first = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).min().unwrap();
            fs::write(folder.join(format!("._{}", first.to_string_lossy())), "").unwrap();
            fs::write(folder.join("Thumbs.db"), "").unwrap();
        }
        self
    }
}

/// 9 photographs to train on and 3 to test on, each with the mask of a second observer beside it.
pub fn drive() -> Layout {
    let mut layout = Layout::new();
    for (part, ids) in [("training", 21..30), ("test", 1..4)] {
        for id in ids {
            let name = |folder: &str, end: &str| format!("{part}/{folder}/{id:02}_{end}");
            let files = [name("images", &format!("{part}.tif")), name("1st_manual", "manual1.gif")];
            let number = layout.add(&format!("{id:02}"), files, mask);
            layout.write(&name("mask", &format!("{part}_mask.gif")), field(number));
            if part == "test" {
                layout.write(&name("2nd_manual", "manual2.gif"), mask(number + 8));
            }
        }
    }
    layout.litter()
}

/// 10 photographs with the masks of two observers. `ending` is that of all files.
pub fn stare(ending: &str) -> Layout {
    let mut layout = Layout::new();
    for id in ["0001", "0002", "0003", "0004", "0005", "0044", "0077", "0081", "0082", "0139"] {
        let [first, second] = ["ah", "vk"].map(|observer| format!("labels-{observer}/im{id}.{observer}.{ending}"));
        let number = layout.add(id, [format!("stare-images/im{id}.{ending}"), first], mask);
        layout.write(&second, mask(number + 8));
    }
    layout.litter()
}

/// 5 healthy, 5 diabetic and 5 glaucomatous eyes, with the capitals that HRF has.
pub fn hrf() -> Layout {
    let mut layout = Layout::new();
    for (class, ending) in [("dr", "JPG"), ("g", "jpg"), ("h", "jpg")] {
        for at in 1..=5 {
            let id = format!("{at:02}_{class}");
            let number = layout.add(&id, [format!("images/{id}.{ending}"), format!("manual1/{id}.tif")], mask);
            layout.write(&format!("mask/{id}_mask.tif"), field(number));
        }
    }
    layout.litter()
}

/// 10 cars from 2 sides each.
pub fn carvana() -> Layout {
    let mut layout = Layout::new();
    for (car, side) in (0..10).flat_map(|car| [(car, 1), (car, 2)]) {
        let name = format!("{:012x}_{side:02}", 0xcdf5_b5d0 * (car + 1_u64));
        layout.add(&name, [format!("train/{name}.jpg"), format!("train_masks/{name}_mask.gif")], mask);
    }
    layout.litter()
}

/// 10 cases of two classes to train on, and one without labels.
pub fn nnunet() -> Layout {
    let mut layout = Layout::new();
    let labels = |number| GrayImage::from_fn(WIDTH, HEIGHT, |x, y| Luma([class(number, x, y)])).into();
    for case in 1..=10 {
        let id = format!("vessel_{case:03}");
        layout.add(&id, [format!("imagesTr/{id}_0000.png"), format!("labelsTr/{id}.png")], labels);
    }
    layout.write("imagesTs/vessel_011_0000.png", photograph(11));
    let about = r#"{"channel_names": {"0": "R", "1": "G", "2": "B"}, "labels": {"background": 0, "artery": 1, "vein": 2}, "numTraining": 10, "file_ending": ".png"}"#;
    fs::write(layout.path("dataset.json"), about).unwrap();
    layout.litter()
}

/// 10 eyes in the layout of FIVES to train on, and 2 to test on.
pub fn fives() -> Layout {
    let mut layout = Layout::new();
    for (part, at) in (1..=10).map(|at| ("train", at)).chain([("test", 1), ("test", 2)]) {
        let name = format!("{at}_{}", ["A", "D", "G", "N"][at % 4]);
        let files = ["Original", "Ground truth"].map(|folder| format!("{part}/{folder}/{name}.png"));
        layout.add(&format!("{part}/{name}"), files, mask);
    }
    layout.litter()
}

/// Both eyes of 10 children, with the masks of a second observer.
pub fn chase_db1() -> Layout {
    let mut layout = Layout::new();
    for (child, eye) in (1..=10).flat_map(|child| [(child, "L"), (child, "R")]) {
        let name = format!("Image_{child:02}{eye}");
        let files = [format!("{name}.jpg"), format!("{name}_1stHO.png")];
        let number = layout.add(&format!("{child:02}_{eye}"), files, mask);
        layout.write(&format!("{name}_2ndHO.png"), mask((number + 7) % 20));
    }
    layout.litter()
}
