//! `image_pairs`: image and mask files of any layout, joined by what their patterns capture. Lists files; reads none of them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pipeline_contract::{BuildContext, Checked, Facts, Finding, OptionSpec, OptionType, Place, StageError, StageKind};

use crate::SampleFiles;
use crate::exclude::exclude_option;
use crate::form;
use crate::found::Found;
use crate::listing::{Listing, limit_option, shuffle_option};
use crate::pair_rules::{Options, Rules};
use crate::pattern::{Captures, Pattern};
use crate::problems::listed;
use crate::select::keeps;
use crate::split::{Division, Wrong, part_option, split_type};

/// Declares `image_pairs`.
pub fn kind() -> StageKind {
    let some_text =
        || OptionType::AnyOf(vec![OptionType::Text, OptionType::List { of: Box::new(OptionType::Text), min: 1, max: 64 }]);
    StageKind::source("image_pairs", "lists image and mask files that patterns join", |options: Options, cx| {
        list(options, cx)
    })
    .contents(|options: Options, cx| Ok(list(options, cx)?.contents()))
    .option(OptionSpec::new("root", OptionType::Path, ".", "the folder that the patterns start from"))
    .option(OptionSpec::required(
        "image",
        some_text(),
        "the images' pattern or patterns: `*`, `?` and `**/` as in globs, {name} captures, {name:[0-9]+} captures what fits",
    ))
    .option(OptionSpec::required("mask", some_text(), "the masks' pattern or patterns, with the captures that join them to images"))
    .option(OptionSpec::optional(
        "field_of_view",
        some_text(),
        "the pattern or patterns of files that are white where the photograph shows the eye, such as DRIVE's \
         `test/mask/{id}_test_mask.gif`; without it an evaluation finds the field of view in the photograph",
    ))
    .option(OptionSpec::optional("only", some_text(), "captures to keep, such as child=01..08 or eye=L,R; before `split`"))
    .option(OptionSpec::optional("except", some_text(), "captures to leave out, such as child=09,10; before `split`"))
    .option(OptionSpec::optional("split", split_type([]), "divides the samples into parts, the same for any order of files"))
    .option(part_option())
    .option(shuffle_option())
    .option(limit_option())
    .option(exclude_option())
    .check::<Options>(|options, _| {
        let rules = Rules::read(options).map_err(|(option, wrong)| Finding::error(Place::Option(option.into()), wrong));
        match rules.and_then(|rules| division(options, &rules).map_err(Wrong::finding)) {
            Ok(division) => {
                let mut facts = Facts::default();
                division.inspect(|division| division.set(&mut facts));
                Checked::facts(facts)
            }
            Err(finding) => Checked { findings: vec![finding], ..Checked::default() },
        }
    })
    .example(
        r#"- {id: files, use: image_pairs, with: {root: data/CHASE_DB1, image: "Image_{child:[0-9]+}{eye}.jpg", mask: "Image_{child:[0-9]+}{eye}_1stHO.png", only: "child=01..08"}}"#,
    )
}

/// Captures whose values are spread evenly over the parts, unless the file says otherwise.
const CLASSES: [&str; 2] = ["class", "diagnosis"];

/// How the samples are divided; `None` where they aren't.
fn division(options: &Options, rules: &Rules) -> Result<Option<Division>, Wrong> {
    match (&options.split, options.part) {
        (Some(split), part) => Division::read(split, part, &rules.images[0].names, &CLASSES).map(Some),
        (None, Some(_)) => Err(Wrong::no_split()),
        (None, None) => Ok(None),
    }
}

/// All samples as a source, or everything that is wrong.
fn list(options: Options, cx: &BuildContext) -> pipeline_contract::Result<Listing> {
    let rules = Rules::read(&options).map_err(|(_, wrong)| StageError::new(wrong))?;
    let division = division(&options, &rules).map_err(Wrong::error)?;
    let mut found = Found::new(options.exclude.read()?, cx.skips_broken);
    rules.list(&options.root, &mut found);
    let help = "correct the patterns, or add the missing files and move the others away";
    found.listing(help, division.as_ref(), options.limit, options.shuffle, cx)
}

/// A file that fits a pattern.
struct File {
    name: String,
    path: PathBuf,
    captures: Captures,
}

impl Rules {
    /// All pairs, and everything that is wrong.
    fn list(&self, root: &Path, found: &mut Found) {
        let [images, masks, fields] = [("image", &self.images), ("mask", &self.masks), ("field of view", &self.fields)]
            .map(|(what, wanted)| gather(wanted, &[&self.images, &self.masks, &self.fields], root, what, found));
        for choice in self.only.iter().chain(&self.except) {
            if !images.iter().any(|image| choice.fits(&image.captures)) {
                tracing::warn!("`{}` fits none of the {} images", choice.text, images.len());
            }
        }
        let [image_of, mask_of] = [&images, &masks].map(|files| self.by_key(files, &self.masks, found));
        let field_of = self.by_key(&fields, &self.fields, found);
        let lone_masks: Vec<&File> =
            masks.iter().filter(|mask| !image_of.contains_key(&key(&self.masks, &mask.captures))).collect();
        let masks_alone = lone_masks.iter().map(|mask| (self.id(mask), mask.name.clone())).collect();
        found.incomplete("masks without an image", masks_alone);
        let (mut alone, mut unframed) = (Vec::new(), Vec::new());
        let mut ids = BTreeSet::new();
        let mut same = Vec::new();
        let complete = |file: &&File| self.images[0].names.iter().all(|name| file.captures.contains_key(name));
        let kept = |file: &&File| keeps(&self.only, &self.except, &file.captures);
        // Also a mask without an image: when the image comes back, no other sample changes its part.
        for file in masks.iter().chain(&images).filter(complete).filter(kept) {
            found.see(self.id(file), file.captures.clone());
        }
        for image in images.iter().filter(kept) {
            let id = self.id(image);
            // One of two files of the same captures: told already.
            if found.is_broken(&id) {
                continue;
            }
            if !ids.insert(id.clone()) && !found.is_excluded(&id) {
                same.push(id.clone());
            }
            let Some(&mask) = mask_of.get(&key(&self.masks, &image.captures)) else {
                alone.push((id, image.name.clone()));
                continue;
            };
            let inside = field_of.get(&key(&self.fields, &image.captures)).map(|&field| fields[field].path.clone());
            if inside.is_none() && !self.fields.is_empty() {
                unframed.push((id, image.name.clone()));
                continue;
            }
            found.pair(id, SampleFiles::Pair { image: image.path.clone(), mask: masks[mask].path.clone(), inside });
        }
        let joins = |file: &File| key(&self.masks, &file.captures).join("_");
        let lone_images = images.iter().filter(kept).filter(|image| !mask_of.contains_key(&key(&self.masks, &image.captures)));
        let (lone_images, lone_masks): (Vec<_>, Vec<_>) =
            (lone_images.map(joins).collect(), lone_masks.into_iter().map(joins).collect());
        if let Some(hint) = form::hint(lone_images.iter().map(String::as_str), lone_masks.iter().map(String::as_str)) {
            found.hint(hint);
        }
        found.incomplete("images without a mask", alone);
        found.incomplete("images without a file for `field_of_view`", unframed);
        found.problems.add_names("two samples would have one id (their captures joined by `_`)", &same);
        if found.is_empty() && found.problems.is_empty() {
            let there: Vec<String> = images.iter().map(|image| self.id(image)).collect();
            found.problems.add(format!("`only` and `except` leave none of the {} pairs {}", there.len(), listed(&there)));
        }
    }

    /// Files by the captures of `patterns`, which join them; of two with the same captures the first.
    fn by_key(&self, files: &[File], patterns: &[Pattern], found: &mut Found) -> BTreeMap<Vec<String>, usize> {
        let (mut keys, mut twice) = (BTreeMap::new(), Vec::new());
        for (at, file) in files.iter().enumerate() {
            match keys.entry(key(patterns, &file.captures)) {
                Entry::Vacant(place) => drop(place.insert(at)),
                Entry::Occupied(first) => {
                    twice.push((self.id(file), format!("{} and {}", files[*first.get()].name, file.name)));
                }
            }
        }
        found.incomplete("two files of the same captures", twice);
        keys
    }

    /// The sample's id: its captures in the order of the pattern.
    fn id(&self, image: &File) -> String {
        self.images[0]
            .names
            .iter()
            .filter_map(|name| image.captures.get(name).map(String::as_str))
            .collect::<Vec<_>>()
            .join("_")
    }
}

/// What joins an image to a file of `patterns`: the values of these patterns' captures.
fn key(patterns: &[Pattern], captures: &Captures) -> Vec<String> {
    let names = patterns.first().map_or(&[][..], |pattern| &pattern.names);
    names.iter().map(|name| captures.get(name).cloned().unwrap_or_default()).collect()
}

/// The files that fit `wanted` and don't fit one of `all` better.
fn gather(wanted: &[Pattern], all: &[&Vec<Pattern>], root: &Path, what: &str, all_found: &mut Found) -> Vec<File> {
    let (mut found, mut capitals) = (BTreeMap::new(), BTreeSet::new());
    for pattern in wanted {
        let (files, wrong) = pattern.files(root);
        let better = |name: &str| {
            all.iter().copied().flatten().any(|other| other.literals > pattern.literals && other.captures(name).is_some())
        };
        let any_case = pattern.in_any_case();
        let fits = |name: &str| all.iter().copied().flatten().any(|other| other.captures(name).is_some());
        let but_for_case = |name: &&String| any_case.as_ref().is_some_and(|any_case| any_case.is_match(name)) && !fits(name);
        capitals.extend(files.iter().map(|(name, _)| name).filter(but_for_case).cloned());
        let before = found.len();
        for (name, path) in &files {
            if let Some(captures) = pattern.captures(name).filter(|_| !better(name)) {
                found.entry(name.clone()).or_insert(File { name: name.clone(), path: path.clone(), captures });
            }
        }
        if found.len() == before {
            let there: Vec<String> = files.into_iter().take(5).map(|(name, _)| name).collect();
            let there = match (there.as_slice(), wrong.as_slice()) {
                (_, [error, ..]) => error.clone(),
                ([], []) => "there are no files".into(),
                (names, []) => format!("there are {}", names.join(", ")),
            };
            all_found.problems.add(format!("no {what} fits `{}` in {}: {there}", pattern.text, pattern.folder(root).display()));
        } else {
            all_found.problems.add_names("can't be listed", &wrong);
        }
    }
    if !capitals.is_empty() {
        let names = listed(&capitals.into_iter().collect::<Vec<_>>());
        let patterns: Vec<&str> = wanted.iter().map(|pattern| pattern.text.as_str()).collect();
        let patterns = patterns.join("`, `");
        all_found.hint(format!("files that fit the {what} pattern `{patterns}` but for capital letters are left out: {names}"));
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tempfile::{TempDir, tempdir};

    use pipeline_contract::Result;

    use super::*;
    use crate::testing::{build, context, defaults, emitted, real, write_grey, write_rgb};

    fn list(given: Value) -> Result<Vec<(String, SampleFiles)>> {
        emitted(&kind(), given, 0)
    }

    fn ids(given: Value) -> Vec<String> {
        list(given).unwrap().into_iter().map(|(id, _)| id).collect()
    }

    /// CHASE_DB1's layout with two children.
    fn chase() -> TempDir {
        let dir = tempdir().unwrap();
        for name in ["01L", "01R", "10L", "2L"] {
            write_rgb(&dir.path().join(format!("CHASE_DB1/Image_{name}.jpg")), 4, 4);
            write_grey(&dir.path().join(format!("CHASE_DB1/Image_{name}_1stHO.png")), 4, 4);
        }
        dir
    }

    #[test]
    fn captures_join_and_choices_split_by_child() {
        let dir = chase();
        let simple = json!({"root": dir.path(), "image": "CHASE_DB1/Image_{id}.jpg", "mask": "CHASE_DB1/Image_{id}_1stHO.png"});
        assert_eq!(ids(simple), ["01L", "01R", "2L", "10L"]);
        let mut given = json!({
            "root": dir.path().join("CHASE_DB1"),
            "image": "Image_{child:[0-9]+}{eye:[LR]}.jpg",
            "mask": ["Image_{child:[0-9]+}{eye:[LR]}_1stHO.png"],
        });
        assert_eq!(ids(given.clone()), ["01_L", "01_R", "2_L", "10_L"]);
        given["only"] = json!("child=1..2");
        assert_eq!(ids(given.clone()), ["01_L", "01_R", "2_L"]);
        given["except"] = json!(["eye=R"]);
        given["limit"] = json!(1);
        assert_eq!(ids(given.clone()), ["01_L"]);
        given["only"] = json!("child=77");
        let error = list(given).unwrap_err();
        assert!(error.message().contains("leave none of the 4 pairs"), "{error}");
    }

    #[test]
    fn a_mask_that_fits_both_patterns_is_a_mask() {
        let dir = tempdir().unwrap();
        write_rgb(&dir.path().join("7.png"), 4, 4);
        write_grey(&dir.path().join("7_mask.png"), 4, 4);
        let samples = list(json!({"root": dir.path(), "image": "{id}.png", "mask": "{id}_mask.png"})).unwrap();
        let SampleFiles::Pair { image, mask, .. } = &samples[0].1 else { panic!() };
        assert!(samples.len() == 1 && image.ends_with("7.png") && mask.ends_with("7_mask.png"));
    }

    #[test]
    fn several_images_captures_may_share_less_with_the_mask() {
        let dir = tempdir().unwrap();
        write_rgb(&dir.path().join("training/images/21_training.tif"), 4, 4);
        write_rgb(&dir.path().join("test/images/01_test.tif"), 4, 4);
        write_rgb(&dir.path().join("training/1st_manual/21_manual1.gif"), 4, 4);
        write_rgb(&dir.path().join("test/1st_manual/01_manual1.gif"), 4, 4);
        let given = json!({
            "root": dir.path(), "image": "{split}/images/{id:[0-9]+}_{split}.tif", "mask": "*/1st_manual/{id}_manual1.gif"
        });
        assert_eq!(ids(given), ["test_01", "training_21"]);
    }

    #[test]
    fn a_field_of_view_is_joined_like_a_mask() {
        let dir = tempdir().unwrap();
        for number in ["01", "02"] {
            write_rgb(&dir.path().join(format!("test/images/{number}_test.tif")), 4, 4);
            write_grey(&dir.path().join(format!("test/1st_manual/{number}_manual1.png")), 4, 4);
            write_grey(&dir.path().join(format!("test/mask/{number}_test_mask.png")), 4, 4);
        }
        // One that no image has.
        write_grey(&dir.path().join("test/mask/03_test_mask.png"), 4, 4);
        let given = json!({
            "root": dir.path().join("test"), "image": "images/{id:[0-9]+}_test.tif", "mask": "1st_manual/{id}_manual1.png",
            "field_of_view": "mask/{id}_test_mask.png",
        });
        let samples = list(given.clone()).unwrap();
        for ((id, files), expected) in samples.iter().zip(["01", "02"]) {
            let SampleFiles::Pair { inside: Some(inside), .. } = files else { panic!("{files:?}") };
            assert!(id == expected && inside.ends_with(format!("mask/{id}_test_mask.png")), "{id}: {files:?}");
        }
        let mut without = given.clone();
        without["field_of_view"] = Value::Null;
        assert!(list(without).unwrap().iter().all(|(_, files)| matches!(files, SampleFiles::Pair { inside: None, .. })));
        std::fs::remove_file(dir.path().join("test/mask/02_test_mask.png")).unwrap();
        let error = list(given.clone()).unwrap_err();
        assert!(error.message().contains("images without a file for `field_of_view`: images/02_test.tif"), "{error}");
        let cx = pipeline_contract::BuildContext { skips_broken: true, ..context() };
        let pipeline_contract::Running::Source(mut source) = build(&kind(), given, &cx).unwrap() else { panic!() };
        let broken: Vec<String> = source.broken().iter().map(|(id, _)| id.to_string()).collect();
        assert_eq!((broken, source.samples()), (vec!["02".to_string()], Some(1)));
    }

    #[test]
    fn of_three_patterns_the_closest_fits() {
        let dir = tempdir().unwrap();
        write_rgb(&dir.path().join("7.png"), 4, 4);
        write_grey(&dir.path().join("7_mask.png"), 4, 4);
        write_grey(&dir.path().join("7_mask_fov.png"), 4, 4);
        let given =
            json!({"root": dir.path(), "image": "{id}.png", "mask": "{id}_mask*.png", "field_of_view": "{id}_mask_fov.png"});
        let samples = list(given).unwrap();
        let SampleFiles::Pair { image, mask, inside: Some(inside) } = &samples[0].1 else { panic!() };
        assert!(samples.len() == 1 && image.ends_with("7.png") && mask.ends_with("7_mask.png"), "{samples:?}");
        assert!(inside.ends_with("7_mask_fov.png"), "{samples:?}");
    }

    #[test]
    fn every_trouble_is_named() {
        let dir = chase();
        let root = dir.path().join("CHASE_DB1");
        std::fs::remove_file(root.join("Image_01L_1stHO.png")).unwrap();
        std::fs::remove_file(root.join("Image_10L.jpg")).unwrap();
        write_rgb(&root.join("Image_01R.jpeg"), 4, 4);
        let error = list(json!({"root": root, "image": "Image_{id}.jp*g", "mask": "Image_{id}_1stHO.png"})).unwrap_err();
        for part in [
            "two files of the same captures: Image_01R.jpeg and Image_01R.jpg",
            "masks without an image: Image_10L_1stHO.png",
            "images without a mask: Image_01L.jpg",
        ] {
            assert!(error.message().contains(part), "{part} is not in {error}");
        }
        for name in ["1_2_3", "1_2_3x"] {
            write_rgb(&dir.path().join(format!("ids/{name}.png")), 4, 4);
            write_grey(&dir.path().join(format!("ids/{name}_m.png")), 4, 4);
        }
        let image = ["ids/{a:1}_{b:2_3}.png", "ids/{a:1_2}_{b:3}x.png"];
        let mask = ["ids/{a:1}_{b:2_3}_m.png", "ids/{a:1_2}_{b:3}x_m.png"];
        let error = list(json!({"root": dir.path(), "image": image, "mask": mask})).unwrap_err();
        assert!(error.message().contains("one id (their captures joined by `_`): 1_2_3"), "{error}");
        let error = list(json!({"root": root, "image": "{id}.bmp", "mask": "sub/{id}.png"})).unwrap_err();
        for part in ["no image fits `{id}.bmp`", "Image_01L.jpg", "no mask fits `sub/{id}.png`", "sub"] {
            assert!(error.message().contains(part), "{part} is not in {error}");
        }
    }

    #[test]
    fn incomplete_samples_may_be_left_out_or_excluded() {
        let dir = chase();
        let root = dir.path().join("CHASE_DB1");
        std::fs::remove_file(root.join("Image_01L_1stHO.png")).unwrap();
        std::fs::remove_file(root.join("Image_10L.jpg")).unwrap();
        write_rgb(&root.join("Image_01R.jpeg"), 4, 4);
        let mut given = json!({"root": root, "image": "Image_{id}.jp*g", "mask": "Image_{id}_1stHO.png"});
        let cx = pipeline_contract::BuildContext { skips_broken: true, ..context() };
        let pipeline_contract::Running::Source(mut source) = build(&kind(), given.clone(), &cx).unwrap() else { panic!() };
        let broken: Vec<String> = source.broken().iter().map(|(id, error)| format!("{id}: {error}")).collect();
        let expected = ["01L: images without a mask", "01R: two files", "10L: masks without an image"];
        assert_eq!((broken.len(), source.samples()), (3, Some(1)), "{broken:?}");
        assert!(broken.iter().zip(expected).all(|(said, expected)| said.starts_with(expected)), "{broken:?}");
        given["exclude"] = json!(["01L", "01R", "10L"]);
        assert_eq!(ids(given.clone()), ["2L"]);
        given["exclude"] = json!(["01L", "01R", "10L", "2L"]);
        assert!(list(given).unwrap_err().message().contains("`exclude` leaves none of the"));
    }

    #[test]
    fn wrong_options_are_found_before_the_run() {
        for (option, value) in [
            ("image", json!("*.jpg")),
            ("image", json!(["{id}.jpg", "{other}.jpg"])),
            ("mask", json!("{nobody}.png")),
            ("mask", json!("{id}.jpg")),
            ("field_of_view", json!("*.gif")),
            ("field_of_view", json!("{nobody}.gif")),
            ("field_of_view", json!("{id}.png")),
            ("only", json!("child=1")),
            ("except", json!(["id"])),
            ("part", json!("train")),
            ("split", json!({"folds": 5})),
        ] {
            let mut options = defaults(&kind());
            options["image"] = json!("{id}.jpg");
            options["mask"] = json!("{id}.png");
            options[option] = value;
            let findings = kind().run_check(&options, &[]).unwrap().findings;
            assert_eq!(findings.len(), 1);
            assert_eq!(findings[0].place, Place::Option(option.into()), "{findings:?}");
        }
    }

    #[test]
    fn both_eyes_of_a_child_are_in_one_part_and_only_chooses_before() {
        let dir = tempdir().unwrap();
        for (at, name) in (1..=12).flat_map(|child| ["L", "R"].map(|eye| (child, format!("{child:02}{eye}")))) {
            let class = ["dr", "healthy"][at % 2];
            write_rgb(&dir.path().join(format!("{name}_{class}.jpg")), 4, 4);
            write_grey(&dir.path().join(format!("{name}_{class}_m.png")), 4, 4);
        }
        let (image, mask) = ("{child:[0-9]+}{eye:[LR]}_{class}.jpg", "{child:[0-9]+}{eye:[LR]}_{class}_m.png");
        let part = |fold: usize, part: &str, only: Value| {
            let split = json!({"group": "{child}", "folds": 3, "fold": fold, "validation": 0.25, "seed": 7});
            ids(json!({"root": dir.path(), "image": image, "mask": mask, "split": split, "part": part, "only": only}))
        };
        let children = |ids: &[String]| ids.iter().map(|id| id[..2].to_owned()).collect::<BTreeSet<_>>();
        let mut tested = Vec::new();
        for fold in 0..3 {
            let parts = ["train", "validation", "test"].map(|name| part(fold, name, Value::Null));
            assert_eq!(parts.each_ref().map(Vec::len), [12, 4, 8]);
            assert_eq!(parts.each_ref().map(|ids| children(ids).len()), [6, 2, 4], "both eyes of each child");
            for (ids, of_each) in parts.iter().zip([6, 2, 4]) {
                let sick = ids.iter().filter(|id| id.ends_with("dr")).count();
                assert_eq!((sick, ids.len() - sick), (of_each, of_each), "{ids:?}");
            }
            tested.extend(parts[2].clone());
        }
        assert_eq!(tested.iter().collect::<BTreeSet<_>>().len(), 24);
        let few = (0..3).map(|fold| part(fold, "test", json!("child=01..03"))).collect::<Vec<_>>();
        assert!(few.iter().all(|ids| ids.len() == 2), "three children are divided, one a fold: {few:?}");
    }

    #[test]
    fn the_real_sets_are_joined() {
        if let Some(root) = real("CHASE_DB1") {
            let pattern = "Image_{child:[0-9]+}{eye}";
            let given = json!({"root": root, "image": format!("{pattern}.jpg"), "mask": format!("{pattern}_1stHO.png")});
            assert_eq!(ids(given).len(), 20);
        }
        if let Some(root) = real("HRF") {
            assert_eq!(ids(json!({"root": root, "image": "images/{id}.jpg", "mask": "manual1/{id}.tif"})), ["01_dr"]);
        }
    }
}
