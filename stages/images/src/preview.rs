//! `preview`: a contact sheet of the first pairs as they arrive, to see what the stages before it do. A sink on the CPU that
//! hangs off a branch; figures and predictions are the training stages' business.

use std::path::{Path, PathBuf};

use image::{ImageFormat, RgbImage};
use pipeline_contract::{
    Checked, End, Finding, ItemContext, Nothing, OptionSpec, OptionType, Output, Place, Result, Sequential, StageError,
    StageKind, stays_inside,
};
use serde::Deserialize;

use crate::legend::{entries, legend};
use crate::panel::{row, stack};
use crate::sheet::thumbnail;
use crate::{Classes, ImagePair};

#[derive(Deserialize)]
struct Options {
    pairs: usize,
    columns: usize,
    file: PathBuf,
}

/// Declares `preview`.
pub fn kind() -> StageKind {
    StageKind::sequential(
        "preview",
        "writes a contact sheet of the first pairs into the run's folder",
        |options: Options, cx| {
            let path = cx.out.join(&options.file);
            // A run's folder is its own: a sheet that is there is this run's, from before it was stopped and went on.
            let done = path.exists();
            let classes = cx.facts.first().and_then(Classes::of);
            Ok(Preview { path, options, classes, cells: Vec::new(), done })
        },
    )
    .option(
        OptionSpec::new("pairs", OptionType::Integer { min: 1, max: 256 }, 8, "number of pairs shown, from the first epoch")
            .harmless(),
    )
    .option(OptionSpec::new("columns", OptionType::Integer { min: 1, max: 16 }, 4, "pairs in a row").harmless())
    .option(OptionSpec::new("file", OptionType::Path, "preview.png", "the sheet's name in the run's folder, a PNG").harmless())
    .check::<Options>(|options, _| {
        let png = options.file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
        let finding = (!png || !stays_inside(&options.file)).then(|| {
            Finding::error(Place::Option("file".into()), "the sheet is a PNG in the run's folder")
                .help("write file: preview.png")
        });
        Checked { findings: finding.into_iter().collect(), ..Checked::default() }
    })
    .example("- {id: preview, use: preview, needs: [augment], with: {pairs: 8, columns: 4}}")
}

/// The longer side of a thumbnail in pixels.
const THUMBNAIL: usize = 256;

struct Preview {
    options: Options,
    path: PathBuf,
    classes: Option<Classes>,
    cells: Vec<RgbImage>,
    done: bool,
}

impl Sequential for Preview {
    type In = ImagePair;
    type Out = Nothing;

    fn item(&mut self, pair: ImagePair, _: &ItemContext<'_>, _: &mut Output<'_, Nothing>) -> Result<()> {
        if self.done {
            return Ok(());
        }
        self.cells.push(thumbnail(&pair, self.classes.is_some(), THUMBNAIL)?);
        if self.cells.len() == self.options.pairs { self.write() } else { Ok(()) }
    }

    fn epoch_end(&mut self, _: u64, _: &mut Output<'_, Nothing>) -> Result<()> {
        self.write()
    }

    fn finish(&mut self, _: End) -> Result<()> {
        self.write()
    }
}

impl Preview {
    /// Writes what there is, once.
    fn write(&mut self) -> Result<()> {
        let cells = std::mem::take(&mut self.cells);
        if std::mem::replace(&mut self.done, true) || cells.is_empty() {
            return Ok(());
        }
        save(&sheet(&cells, self.options.columns, self.classes.as_ref()), &self.path)
    }
}

/// The cells in rows; where there are classes, with their legend below.
fn sheet(cells: &[RgbImage], columns: usize, classes: Option<&Classes>) -> RgbImage {
    let width = cells.iter().map(RgbImage::width).max().unwrap_or(0) as usize;
    let rows = cells.chunks(columns).map(|cells| {
        let height = cells.iter().map(RgbImage::height).max().unwrap_or(0) as usize;
        let widened = cells.iter().map(|cell| {
            let mut tile = RgbImage::new(width as u32, height as u32);
            image::imageops::replace(&mut tile, cell, 0, 0);
            tile.into_raw()
        });
        row(&widened.collect::<Vec<_>>(), height, width)
    });
    let mut rows: Vec<RgbImage> = rows.collect();
    if let Some(classes) = classes {
        let width = rows.iter().map(RgbImage::width).max().unwrap_or(0);
        rows.push(legend(&entries(classes), width as usize));
    }
    stack(rows)
}

/// Writes a PNG.
fn save(picture: &RgbImage, path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(StageError::from).map_err(|error| error.context(folder.display()))?;
    picture
        .save_with_format(path, ImageFormat::Png)
        .map_err(|error| StageError::new(format!("{} can't be written: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use pipeline_contract::{BuildContext, Item, Running};
    use serde_json::{Value, json};
    use tempfile::tempdir;

    use super::*;
    use crate::testing::{build, context, defaults, distinct, item_context};

    /// Sends `pairs` pairs through and gives the sheet's size, if there is one.
    fn sheet_of(given: Value, pairs: Vec<ImagePair>) -> Option<(u32, u32)> {
        let dir = tempdir().unwrap();
        let cx = BuildContext { out: dir.path().join("run"), ..context() };
        let Running::Sequential(mut stage) = build(&kind(), given, &cx).unwrap() else { panic!() };
        let mut sink = |_: Item| Ok(());
        for epoch in 0..2 {
            for pair in &pairs {
                stage.item(0, Item::new(epoch, "a", pair.clone()), &item_context("a", epoch), &mut sink).unwrap();
            }
            stage.epoch_end(epoch, &mut sink).unwrap();
        }
        stage.finish(End::Complete).unwrap();
        image::image_dimensions(dir.path().join("run/preview.png")).ok()
    }

    #[test]
    fn the_sheet_shows_the_first_pairs_in_columns() {
        // A cell is two tiles of 10 with a gap of 2 between; a row three cells with gaps of 2.
        let given = json!({"pairs": 4, "columns": 3});
        assert_eq!(sheet_of(given.clone(), vec![distinct(10, 10); 7]), Some((22 * 3 + 2 * 2, 22)));
        assert_eq!(sheet_of(given.clone(), vec![distinct(10, 10); 2]), Some((22 * 2 + 2, 10)));
        assert_eq!(sheet_of(given.clone(), vec![]), None);
        assert_eq!(sheet_of(given, vec![distinct(600, 300)]), Some((2 * 128 + 2, 256)));
    }

    #[test]
    fn classes_have_their_colours_and_a_legend() {
        let dir = tempdir().unwrap();
        let mut facts = pipeline_contract::Facts::default();
        Classes { names: ["background", "artery", "vein"].map(String::from).into(), ignored: true }.set(&mut facts);
        let cx = BuildContext { out: dir.path().into(), facts: vec![facts], ..context() };
        let Running::Sequential(mut stage) = build(&kind(), json!({}), &cx).unwrap() else { panic!() };
        let pair = ImagePair { mask: [vec![2; 5000], vec![0; 4900], vec![255; 100]].concat(), ..distinct(100, 100) };
        stage.item(0, Item::new(0, "a", pair), &item_context("a", 0), &mut |_: Item| Ok(())).unwrap();
        stage.finish(End::Complete).unwrap();
        let sheet = image::open(dir.path().join("preview.png")).unwrap().into_rgb8();
        // Photograph, a gap of 2, mask; below a gap of 2 and lines of 12.
        assert_eq!((sheet.width(), (sheet.height() - 102 - 4) % 12), (202, 0));
        assert_eq!(sheet.get_pixel(102 + 50, 20).0, crate::palette::colour(2));
        assert_eq!(sheet.get_pixel(102 + 50, 99).0, crate::palette::colour(255));
        assert!(
            sheet.rows().skip(102).flatten().any(|pixel| pixel.0 == crate::palette::colour(1)),
            "the legend has the artery"
        );
    }

    #[test]
    fn the_file_must_be_a_png_below_the_runs_folder() {
        for file in ["sheet.jpg", "/tmp/sheet.png", "../sheet.png"] {
            let mut options = defaults(&kind());
            options["file"] = json!(file);
            assert_eq!(kind().run_check(&options, &[]).unwrap().findings.len(), 1, "{file}");
        }
    }
}
