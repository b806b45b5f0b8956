//! What the tests of this crate share: contexts, default options, files on disk, the real photographs where there are any.
//! Not part of any build.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{GrayImage, Luma, Rgb, RgbImage};
use pipeline_contract::{
    BuildContext, DefaultValue, Item, ItemContext, NoEvents, Payload, Result, Running, SampleCount, StageKind,
};
use serde_json::{Map, Value};

use crate::{ImagePair, MaskKind};

pub(crate) fn context() -> BuildContext {
    BuildContext {
        stage: "stage".into(),
        seed: 42,
        peers: Vec::new(),
        pipeline: pipeline_contract::PipelineId::default(),
        epochs: 3,
        facts: Vec::new(),
        settled: pipeline_contract::Settled::default(),
        samples: SampleCount::default(),
        skips_broken: false,
        strict: false,
        before: Vec::new(),
        out: std::env::temp_dir(),
        events: Arc::new(NoEvents),
    }
}

pub(crate) fn item_context(sample: &str, epoch: u64) -> ItemContext<'_> {
    ItemContext { stage: "stage", seed: 42, epoch, sample }
}

/// The options of a kind when the file gives none; without those that it must give.
pub(crate) fn defaults(kind: &StageKind) -> Value {
    let default = |default: &DefaultValue| match default {
        DefaultValue::Value(value) | DefaultValue::Key(_, value) => Some(value.clone()),
        DefaultValue::Required | DefaultValue::Absent => None,
    };
    let options = kind.options.iter().filter_map(|option| Some((option.name.to_string(), default(&option.default)?)));
    Value::Object(options.collect::<Map<_, _>>())
}

/// A built stage with some options given and the others at their defaults.
pub(crate) fn build(kind: &StageKind, given: Value, cx: &BuildContext) -> Result<Running> {
    let mut options = defaults(kind);
    for (name, value) in given.as_object().into_iter().flatten() {
        assert!(kind.options.iter().any(|option| option.name == name), "no option {name}");
        options[name] = value.clone();
    }
    kind.build(options, cx)
}

/// The ids and payloads that a source emits in an epoch.
pub(crate) fn emitted<T: Payload>(kind: &StageKind, given: Value, epoch: u64) -> Result<Vec<(String, T)>> {
    let Running::Source(mut source) = build(kind, given, &context())? else { panic!("not a source") };
    let mut items = Vec::new();
    source.epoch(epoch, &mut |item: Item| {
        items.push((item.sample.to_string(), item.take()?));
        Ok(())
    })?;
    Ok(items)
}

/// Sends one payload through a map.
pub(crate) fn mapped<I: Payload, O: Payload>(stage: &Running, input: I, sample: &str, epoch: u64) -> Result<O> {
    let Running::Map(map) = stage else { panic!("not a map") };
    map.map(Item::new(epoch, sample, input), &item_context(sample, epoch))?.take()
}

/// A pair whose pixels all differ, with the mask set where the image's first channel is odd.
pub(crate) fn distinct(height: usize, width: usize) -> ImagePair {
    let image: Vec<u8> = (0..height * width).flat_map(|at| [at as u8, (at / 256) as u8, (at * 7) as u8]).collect();
    let mask = image.chunks_exact(3).map(|pixel| 255 * (pixel[0] % 2)).collect();
    ImagePair {
        height,
        width,
        image,
        mask,
        kind: MaskKind::Share,
        normalization: Default::default(),
        original: None,
        doubts: Vec::new(),
    }
}

pub(crate) fn write_rgb(path: &Path, width: u32, height: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 7])).save(path).unwrap();
}

pub(crate) fn write_grey(path: &Path, width: u32, height: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    GrayImage::from_fn(width, height, |x, _| Luma([if x % 2 == 1 { 255 } else { 0 }])).save(path).unwrap();
}

/// Tags of a TIFF's page (number, type, values), and its data.
pub(crate) type TiffPage<'a> = (Vec<(u16, u16, &'a [u32])>, &'a [u8]);

/// A little-endian TIFF, with the data of each page in one strip, or one for each plane.
pub(crate) fn tiff_file(pages: &[TiffPage<'_>]) -> Vec<u8> {
    let mut file = b"II*\0\0\0\0\0".to_vec();
    let mut link = 4;
    for (tags, data) in pages {
        // Tag 284: a plane for each channel, of which tag 277 has the number.
        let value = |tag: u16| tags.iter().find(|found| found.0 == tag).map_or(1, |found| found.2[0]);
        let strips = if value(284) == 2 { value(277) } else { 1 };
        let length = vec![data.len() as u32 / strips; strips as usize];
        let at: Vec<u32> = (0..strips).map(|strip| file.len() as u32 + strip * length[0]).collect();
        file.extend_from_slice(data);
        let mut tags = tags.clone();
        tags.extend([(273, 4, &at[..]), (279, 4, &length)]);
        tags.sort_by_key(|tag| tag.0);
        let mut directory = (tags.len() as u16).to_le_bytes().to_vec();
        for (tag, kind, values) in tags {
            let bytes: Vec<u8> =
                values.iter().flat_map(|value| value.to_le_bytes()[..if kind == 3 { 2 } else { 4 }].to_vec()).collect();
            directory.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
            directory.extend((values.len() as u32).to_le_bytes());
            let mut field = bytes.clone();
            if bytes.len() > 4 {
                field = (file.len() as u32).to_le_bytes().to_vec();
                file.extend(bytes);
            }
            field.resize(4, 0);
            directory.extend(field);
        }
        let start = (file.len() as u32).to_le_bytes();
        file[link..link + 4].copy_from_slice(&start);
        file.extend(directory);
        link = file.len();
        file.extend([0; 4]);
    }
    file
}

/// A file or folder of the real data sets, which lie beside the checkout of some machines; says so where they don't.
pub(crate) fn real(name: &str) -> Option<PathBuf> {
    beside("data", name)
}

/// A file or folder of what users reported, likewise.
pub(crate) fn reported(name: &str) -> Option<PathBuf> {
    beside("bugs", name)
}

fn beside(folder: &str, name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(folder).join(name);
    if !path.exists() {
        eprintln!("{} is not on this machine: synthetic data is used instead", path.display());
        return None;
    }
    Some(path)
}
