//! `image_pairs`: image and mask files of any layout, joined by what their patterns capture. Lists files; reads none of them.

use std::collections::BTreeMap;
use std::path::Path;

use pipeline_contract::{BuildContext, Checked, Facts, Finding, OptionSpec, OptionType, Place, StageError, StageKind};

use crate::SampleFiles;
use crate::exclude::exclude_option;
use crate::form::{UNCLEAR, with_form};
use crate::found::Found;
use crate::gather::{File, Gathered, Ids};
use crate::listing::{Listing, limit_option, shuffle_option};
use crate::pair_rules::{Options, Rules};
use crate::pairing::{ByKey, NameKey, pair_up};
use crate::pattern::Pattern;
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

impl Rules {
    /// All pairs, and everything that is wrong.
    fn list(&self, root: &Path, found: &mut Found) {
        let files = Gathered::below(root, self, found);
        let Gathered { images, masks, fields } = &files;
        for choice in self.only.iter().chain(&self.except) {
            if !images.iter().any(|image| choice.fits(&image.captures)) {
                tracing::warn!("`{}` fits none of the {} images", choice.text, images.len());
            }
        }
        let ids = Ids::of(&self.images[0].names, &files);
        found.tell_apart(ids.twins().cloned());
        let joins = names(&self.masks);
        let [image_keys, mask_keys] = [images, masks].map(|files| by_key(files, joins, &ids, found));
        let field_keys = by_key(fields, names(&self.fields), &ids, found);
        let field_of = ByKey::of(&field_keys);
        let pairing = pair_up(&image_keys, &mask_keys);
        let complete = |file: &&File| self.images[0].names.iter().all(|name| file.captures.contains_key(name));
        let kept = |file: &File| keeps(&self.only, &self.except, &file.captures);
        // Also a mask without an image: when the image comes back, no other sample changes its part.
        for file in masks.iter().chain(images).filter(complete).filter(|file| kept(file)) {
            found.see(ids.id(file), file.captures.clone());
        }
        let of = |which: &[usize], files: &[File], keys: &BTreeMap<usize, NameKey>| {
            let by_key = ByKey::of(keys);
            // With another one from which a name differs in Unicode form alone.
            let shown = |at: usize| match by_key.twin(at, &keys[&at]) {
                Some(twin) => format!("{}, beside {}", with_form(&files[at].text), with_form(&files[twin].text)),
                None => files[at].name.clone(),
            };
            which.iter().map(|&at| (ids.id(&files[at]), shown(at))).collect::<Vec<_>>()
        };
        found.incomplete("masks without an image", of(&pairing.right, masks, &mask_keys));
        for (left, right) in &pairing.unclear {
            let both = left.iter().map(|&at| &images[at]).chain(right.iter().map(|&at| &masks[at]));
            let named = both.map(|file| with_form(&file.text)).collect::<Vec<_>>().join(", ");
            let unclear = left.iter().map(|&at| &images[at]).filter(|image| kept(image)).map(|image| ids.id(image)).collect();
            found.unclear(UNCLEAR, unclear, &named);
        }
        let mut unframed = Vec::new();
        let mut taken = BTreeMap::new();
        let mut same = Vec::new();
        for (&at, &mask) in pairing.partner.iter().filter(|&(&at, _)| kept(&images[at])) {
            let (image, id) = (&images[at], ids.id(&images[at]));
            // One of two files of the same captures: told already.
            if found.is_broken(&id) {
                continue;
            }
            if let Some(first) = taken.insert(id.clone(), &image.name)
                && !found.is_excluded(&id)
            {
                same.push(format!("{id} ({first} and {})", image.name));
            }
            let inside = field_of.partner(&image.key(names(&self.fields)), ids.is_twin(&id));
            if inside.is_none() && !self.fields.is_empty() {
                unframed.push((id, image.name.clone()));
                continue;
            }
            let inside = inside.map(|field| fields[field].path.clone());
            found.pair(id, SampleFiles::Pair { image: image.path.clone(), mask: masks[mask].path.clone(), inside });
        }
        let alone: Vec<usize> = pairing.left.iter().copied().filter(|&at| kept(&images[at])).collect();
        found.incomplete("images without a mask", of(&alone, images, &image_keys));
        found.incomplete("images without a file for `field_of_view`", unframed);
        found.problems.add_names("two samples would have one id (their captures joined by `_`)", &same);
        if found.is_empty() && found.problems.is_empty() {
            let there: Vec<String> = images.iter().map(|image| ids.id(image)).collect();
            found.problems.add(format!("`only` and `except` leave none of the {} pairs {}", there.len(), listed(&there)));
        }
    }
}

/// The captures of patterns, which all have the same.
fn names(patterns: &[Pattern]) -> &[String] {
    patterns.first().map_or(&[], |pattern| &pattern.names)
}

/// Files by what joins them; of two with the same captures the first.
fn by_key(files: &[File], joins: &[String], ids: &Ids<'_>, found: &mut Found) -> BTreeMap<usize, NameKey> {
    let (mut first, mut keys, mut twice) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (at, file) in files.iter().enumerate() {
        let key = file.key(joins);
        match first.get(&key.exact) {
            Some(&first) => {
                let first: &File = &files[first];
                twice.push((ids.id(file), format!("{} and {}", first.name, file.name)));
            }
            None => {
                first.insert(key.exact.clone(), at);
                keys.insert(at, key);
            }
        }
    }
    found.incomplete("two files of the same captures", twice);
    keys
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
