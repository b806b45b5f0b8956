//! The figures of single images: as a CSV file and as events, the worst image first.

use std::cmp::Ordering;
use std::path::Path;

use pipeline_contract::Result;
use pipeline_contract::events::ImageEvent;
use pipeline_images::Classes;

use super::score::{FIGURES, OF_A_CLASS, Scored, of_class};
use crate::files::replace;

/// The images by Dice, the smallest first; equal ones in the order of the test set.
pub(super) fn worst_first(images: &[Scored]) -> Vec<&Scored> {
    let mut sorted: Vec<&Scored> = images.iter().collect();
    let dice = |image: &Scored| image.values[0].unwrap_or(f64::INFINITY);
    sorted.sort_by(|left, right| dice(left).partial_cmp(&dice(right)).unwrap_or(Ordering::Equal));
    sorted
}

/// The event of an image.
pub(super) fn event(stage: &str, epoch: u64, image: &Scored, names: Option<&Classes>) -> ImageEvent {
    let classes = classes(names).map(|(class, name)| {
        let figures = FIGURES.into_iter().zip(of_class(&image.counts[class])).collect();
        (name.to_owned(), figures)
    });
    ImageEvent {
        epoch,
        stage: stage.to_owned(),
        sample: image.sample.to_string(),
        height: image.size[0] as u64,
        width: image.size[1] as u64,
        field_of_view: image.inside,
        metrics: FIGURES.into_iter().zip(image.values).collect(),
        classes: classes.collect(),
    }
}

/// The number and name of each class but the background.
fn classes(names: Option<&Classes>) -> impl Iterator<Item = (usize, &str)> {
    names.into_iter().flat_map(|names| names.names.iter().map(String::as_str).enumerate().skip(1))
}

/// Writes the figures of the images as CSV (RFC 4180): `sample`, `height`, `width`, `field_of_view`, the figures, and with several classes the
/// figures of each as `CLASS:FIGURE`. A figure that isn't defined is an empty field.
///
/// # Errors
/// When it can't be written.
pub(super) fn write(path: &Path, images: &[Scored], names: Option<&Classes>) -> Result<()> {
    let mut heads: Vec<String> =
        ["sample", "height", "width", "field_of_view"].into_iter().chain(FIGURES).map(String::from).collect();
    for (_, name) in classes(names) {
        heads.extend(FIGURES.iter().take(OF_A_CLASS).map(|figure| quoted(&format!("{name}:{figure}"))));
    }
    let mut text = heads.join(",") + "\r\n";
    for image in worst_first(images) {
        let [height, width] = image.size;
        let mut fields = vec![quoted(&image.sample), height.to_string(), width.to_string(), image.inside.to_string()];
        let of_classes = classes(names).flat_map(|(class, _)| of_class(&image.counts[class]));
        let values = image.values.into_iter().chain(of_classes);
        fields.extend(values.map(|value| value.map_or_else(String::new, |value| value.to_string())));
        text += &(fields.join(",") + "\r\n");
    }
    replace(path, text.as_bytes())
}

/// A field of a CSV file.
fn quoted(field: &str) -> String {
    match field.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}
