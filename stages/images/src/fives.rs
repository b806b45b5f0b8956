//! `fives`: the pairs of a folder in the layout of the FIVES data set. Lists files by name; reads none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pipeline_contract::{BuildContext, Checked, Facts, OptionSpec, OptionType, Result, StageKind, fact};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::Value;

use crate::SampleFiles;
use crate::division::Part;
use crate::exclude::{Exclude, exclude_option};
use crate::folder::{Held, images_by_stem, name};
use crate::form::{UNCLEAR, exact, normal, shown, with_form};
use crate::found::Found;
use crate::listing::{Listing, limit_option, shuffle_option};
use crate::pairing::{NameKey, Pairing, pair_up};
use crate::pattern::Captures;
use crate::problems::few;
use crate::split::{self, Division, Wanted, Wrong, part_option, split_type};

/// The names of the folders of images and of masks; the first that fits is taken.
const LAYOUTS: [[&str; 2]; 4] =
    [["Original", "Ground truth"], ["Original", "Segmented"], ["images", "masks"], ["images", "manual1"]];

#[derive(serde::Deserialize)]
struct Options {
    root: PathBuf,
    #[serde(deserialize_with = "folder_or_division")]
    split: Split,
    #[serde(default)]
    part: Option<Wanted>,
    shuffle: bool,
    limit: Option<usize>,
    exclude: Exclude,
}

/// The folders under `root` whose pairs are listed.
#[derive(Clone, Copy, PartialEq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Folders {
    Train,
    Test,
    All,
}

const FOLDERS: OptionType = OptionType::Choice(&["train", "test", "all"]);

/// The option `split`.
enum Split {
    Folders(Folders),
    Divided(split::Options),
}

fn folder_or_division<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Split, D::Error> {
    match Value::deserialize(from)? {
        Value::Object(options) => serde_json::from_value(options.into()).map(Split::Divided),
        word => serde_json::from_value(word).map(Split::Folders),
    }
    .map_err(D::Error::custom)
}

impl Options {
    /// The folders whose pairs are listed, or divided.
    fn folders(&self) -> Folders {
        match &self.split {
            Split::Folders(folders) => *folders,
            Split::Divided(options) => match options.from.as_deref() {
                Some("test") => Folders::Test,
                Some("all") => Folders::All,
                _ => Folders::Train,
            },
        }
    }

    /// How they are divided; `None` where they aren't.
    fn division(&self) -> std::result::Result<Option<Division>, Wrong> {
        match (&self.split, self.part) {
            (Split::Divided(options), part) => {
                Division::read(options, part, &CAPTURES.map(str::to_owned), &["class"]).map(Some)
            }
            (Split::Folders(_), Some(_)) => Err(Wrong::no_split()),
            (Split::Folders(_), None) => Ok(None),
        }
    }
}

/// What a name says, for `group` and `stratify`: `id` is the name without its extension; a name such as `17_A` also has its number and its
/// class (A: AMD, D: diabetic, G: glaucoma, N: normal); `folder` is `train` or `test`, where there are such folders.
const CAPTURES: [&str; 4] = ["id", "number", "class", "folder"];

fn captures(prefix: &str, stem: &str) -> Captures {
    let mut captures = Captures::from([("id".to_owned(), stem.to_owned())]);
    if let Some(folder) = prefix.strip_suffix('/') {
        captures.insert("folder".into(), folder.into());
    }
    if let Some((number, class)) = stem.rsplit_once('_')
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && !number.is_empty()
        && !class.is_empty()
    {
        captures.insert("number".into(), number.into());
        captures.insert("class".into(), class.into());
    }
    captures
}

/// Declares `fives`.
pub fn kind() -> StageKind {
    StageKind::source("fives", "lists the pairs of a folder that has the layout of the FIVES data set", |options: Options, cx| {
        listing(options, cx)
    })
    .contents(|options: Options, cx| Ok(listing(options, cx)?.contents()))
    .option(OptionSpec::required(
        "root",
        OptionType::Path,
        "the folder that holds train/Original, train/Ground truth, test/Original and test/Ground truth; also images/ and masks/",
    ))
    .option(OptionSpec::new(
        "split",
        OptionType::AnyOf(vec![
            FOLDERS,
            split_type([OptionSpec::new("from", FOLDERS, "train", "the folder under root that is divided")]),
        ]),
        "train",
        "which folder under root is listed; or how its pairs are divided into parts, the same for any order of files",
    ))
    .option(part_option())
    .option(shuffle_option())
    .option(limit_option())
    .option(exclude_option())
    .check::<Options>(|options, _| {
        let mut facts = Facts::default();
        match options.division() {
            Err(wrong) => return Checked { findings: vec![wrong.finding()], ..Checked::default() },
            Ok(Some(division)) => division.set(&mut facts),
            Ok(None) => match options.folders() {
                Folders::Train => facts.set(fact::PART, Part::Train.name(), "split"),
                Folders::Test => facts.set(fact::PART, Part::Test.name(), "split"),
                Folders::All => {}
            },
        }
        Checked::facts(facts)
    })
    .example("- {id: files, use: fives, with: {root: data/FIVES, split: train, shuffle: true}}")
}

/// The wanted pairs as a source, or everything that is wrong.
fn listing(options: Options, cx: &BuildContext) -> Result<Listing> {
    let division = options.division().map_err(Wrong::error)?;
    let folders = options.folders();
    let mut found = Found::new(options.exclude.read()?, cx.skips_broken);
    list(&options.root, folders, &mut found);
    let help = if found.is_empty() { missing_data(&options.root) } else { PARTNERS.into() };
    found.listing(&help, division.as_ref(), options.limit, options.shuffle, cx)
}

/// All pairs of these folders, and everything that is wrong with them.
fn list(root: &Path, split: Folders, found: &mut Found) {
    if !root.is_dir() {
        return found.problems.add(format!("folder {} doesn't exist", root.display()));
    }
    for (prefix, folder) in folders(root, split) {
        if !folder.is_dir() {
            found.problems.add(format!("folder {} doesn't exist; {} holds {}", folder.display(), root.display(), listed(root)));
            continue;
        }
        pairs(&prefix, &folder, found);
    }
}

const PARTNERS: &str =
    "each image needs one mask of the same name (the extension may differ): add the missing files, or move the others away";

fn missing_data(root: &Path) -> String {
    let holds_something = std::fs::read_dir(root).is_ok_and(|entries| entries.flatten().next().is_some());
    let is_fives = ["", "train", "test"].iter().any(|part| layout(&root.join(part)).is_some());
    let root = root.display();
    if holds_something && !is_fives {
        return format!(
            "other layouts are read by `image_pairs`, by patterns of the files' names; FIVES itself has train/Original, \
             train/Ground truth, test/Original and test/Ground truth in {root}"
        );
    }
    format!(
        "get \"FIVES: A Fundus Image Dataset for Artificial Intelligence based Vessel Segmentation\", \
         doi:10.6084/m9.figshare.19688169 (one archive of 1.76 GB), and unpack it so that {root} holds train/Original, \
         train/Ground truth, test/Original and test/Ground truth; or draw a small set of the same layout: pipeline sample {root}"
    )
}

/// The folders to look into, each with what its samples' ids start with.
fn folders(root: &Path, split: Folders) -> Vec<(String, PathBuf)> {
    let wanted: &[&str] = match split {
        Folders::Train => &["train"],
        Folders::Test => &["test"],
        Folders::All => &["train", "test"],
    };
    if ["train", "test"].iter().any(|name| root.join(name).is_dir()) {
        return wanted.iter().map(|name| (format!("{name}/"), root.join(name))).collect();
    }
    if split != Folders::All {
        tracing::warn!("{} has no folder train or test: `split: {}` is all of its pairs", root.display(), wanted[0]);
    }
    vec![(String::new(), root.to_path_buf())]
}

/// The folders of images and of masks in a folder that holds both.
fn layout(folder: &Path) -> Option<[PathBuf; 2]> {
    LAYOUTS.map(|names| names.map(|name| folder.join(name))).into_iter().find(|both| both.iter().all(|path| path.is_dir()))
}

/// Adds the pairs of one folder that holds a folder of images and one of masks.
fn pairs(prefix: &str, folder: &Path, found: &mut Found) {
    let Some([images, masks]) = layout(folder) else {
        return found.problems.add(what_is_there(folder));
    };
    let [photos, vessels] = [&images, &masks].map(|folder| (folder, images_by_stem(folder, &mut found.problems)));
    let twins: BTreeSet<String> = [&photos, &vessels].into_iter().flat_map(|(_, held)| twins(held.images.keys())).collect();
    // In normal form, unless another one has the same.
    let id = |stem: &str| match twins.contains(stem) {
        true => format!("{prefix}{}", shown(stem)),
        false => format!("{prefix}{}", shown(&normal(stem))),
    };
    found.tell_apart(twins.iter().map(|stem| id(stem)));
    let [photos, vessels] = [photos, vessels].map(|(folder, Held { images, twice, others })| {
        if images.is_empty() {
            found.problems.add(format!("no image in {}", folder.display()));
        }
        if let Some(names) = few(&others) {
            let message = format!("left out in {}, since they are no images by their names: {names}", folder.display());
            found.hint("no_images", folder, message);
        }
        let twice = twice.into_iter().map(|(stem, names)| (id(&stem), names)).collect();
        found.incomplete(&format!("two files of one name in {}", folder.display()), twice);
        images.into_iter().collect::<Vec<_>>()
    });
    for (stem, _) in photos.iter().chain(&vessels) {
        found.see(id(stem), captures(prefix, &normal(stem)));
    }
    let keys = |files: &[(String, PathBuf)]| files.iter().map(|(stem, _)| NameKey::of(stem)).enumerate().collect();
    let Pairing { partner, unclear, left, right } = pair_up(&keys(&photos), &keys(&vessels));
    for (image, mask) in partner {
        let ((stem, image), (_, mask)) = (&photos[image], &vessels[mask]);
        found.pair(id(stem), SampleFiles::Pair { image: image.clone(), mask: mask.clone(), inside: None });
    }
    let files = |which: &[usize], files: &[(String, PathBuf)]| {
        let shown = |at: &usize| {
            let (stem, path) = &files[*at];
            let name = if twins.contains(stem) { with_form(&exact(path.file_name().unwrap_or_default())) } else { name(path) };
            (id(stem), name)
        };
        which.iter().map(shown).collect::<Vec<_>>()
    };
    for (left, right) in unclear {
        let ids = left.iter().map(|&at| id(&photos[at].0)).collect();
        let both = left.iter().map(|&at| (&images, &photos[at])).chain(right.iter().map(|&at| (&masks, &vessels[at])));
        let named: Vec<String> = both.map(|(folder, (stem, _))| format!("{}/{}", folder.display(), with_form(stem))).collect();
        found.unclear(UNCLEAR, ids, &named.join(", "));
    }
    found.incomplete(&format!("no mask in {} for", masks.display()), files(&left, &photos));
    found.incomplete(&format!("no image in {} for the masks", images.display()), files(&right, &vessels));
}

/// Names that are there in several Unicode forms.
fn twins<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut forms = BTreeMap::<String, Vec<String>>::new();
    for name in names.filter(|name| !name.is_ascii()) {
        forms.entry(normal(name).into_owned()).or_default().push(name.clone());
    }
    forms.into_values().filter(|names| names.len() > 1).flatten().collect()
}

fn what_is_there(folder: &Path) -> String {
    let there = listed(folder);
    format!("{} holds no folders Original and \"Ground truth\" (or images and masks); it holds {there}", folder.display())
}

/// What a folder holds, in words.
fn listed(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let mut there: Vec<String> = entries.iter().map(|entry| name(&entry.path())).collect();
    there.sort();
    if there.is_empty() { "nothing".into() } else { crate::problems::listed(&there) }
}

#[cfg(test)]
mod tests {
    use pipeline_contract::{BuildContext, Running, StageError};
    use serde_json::json;
    use tempfile::tempdir;

    use super::*;
    use crate::listing::natural;
    use crate::testing::{build, context, emitted, real, write_grey, write_rgb};

    fn pair(root: &Path, split: &str, [images, masks]: [&str; 2], stem: &str) {
        write_rgb(&root.join(split).join(images).join(format!("{stem}.png")), 4, 4);
        write_grey(&root.join(split).join(masks).join(format!("{stem}.png")), 4, 4);
    }

    fn ids(given: serde_json::Value, epoch: u64) -> Vec<String> {
        emitted::<SampleFiles>(&kind(), given, epoch).unwrap().into_iter().map(|(id, _)| id).collect()
    }

    fn fails(given: serde_json::Value) -> StageError {
        emitted::<SampleFiles>(&kind(), given, 0).unwrap_err()
    }

    #[test]
    fn pairs_come_in_natural_order_and_limit_and_exclude_take_from_it() {
        let dir = tempdir().unwrap();
        for stem in ["10_A", "2_A", "1_N", "3_D"] {
            pair(dir.path(), "train", LAYOUTS[0], stem);
        }
        pair(dir.path(), "test", LAYOUTS[0], "1_A");
        std::fs::write(dir.path().join("train/Original/Thumbs.db"), "stray").unwrap();
        std::fs::write(dir.path().join("train/Original/._2_A.png"), "stray").unwrap();
        assert_eq!(ids(json!({"root": dir.path()}), 0), ["train/1_N", "train/2_A", "train/3_D", "train/10_A"]);
        assert_eq!(ids(json!({"root": dir.path(), "limit": 2}), 0), ["train/1_N", "train/2_A"]);
        assert_eq!(ids(json!({"root": dir.path(), "exclude": ["1_N", "train/10_A"]}), 0), ["train/2_A", "train/3_D"]);
        assert_eq!(ids(json!({"root": dir.path(), "split": "test"}), 0), ["test/1_A"]);
        assert_eq!(ids(json!({"root": dir.path(), "split": "all"}), 0).len(), 5);
        let all = json!({"root": dir.path(), "exclude": ["1_N", "2_A", "3_D", "10_A"]});
        assert!(fails(all).message().contains("leaves none of the 4 pairs"));
    }

    #[test]
    fn a_shuffled_order_differs_by_epoch_and_repeats() {
        let dir = tempdir().unwrap();
        (0..12).for_each(|number| pair(dir.path(), "train", LAYOUTS[0], &format!("{number}_A")));
        let given = json!({"root": dir.path(), "shuffle": true, "limit": 10});
        let (first, second) = (ids(given.clone(), 0), ids(given.clone(), 1));
        assert_ne!(first, second);
        assert_eq!(first, ids(given, 0));
        let mut sorted = first;
        sorted.sort_by(|left, right| natural(left, right));
        assert_eq!(sorted, (0..10).map(|number| format!("train/{number}_A")).collect::<Vec<_>>());
    }

    #[test]
    fn every_layout_is_found_with_and_without_split_folders() {
        for layout in LAYOUTS {
            for split in ["train", ""] {
                let dir = tempdir().unwrap();
                pair(dir.path(), split, layout, "7_A");
                let prefix = if split.is_empty() { "" } else { "train/" };
                assert_eq!(ids(json!({"root": dir.path()}), 0), [format!("{prefix}7_A")], "{layout:?} {split}");
            }
        }
    }

    #[test]
    fn the_mask_may_have_another_extension() {
        let dir = tempdir().unwrap();
        write_rgb(&dir.path().join("images/1.JPG"), 4, 4);
        write_grey(&dir.path().join("masks/1.tif"), 4, 4);
        let samples = emitted::<SampleFiles>(&kind(), json!({"root": dir.path()}), 0).unwrap();
        let SampleFiles::Pair { image, mask, .. } = &samples[0].1 else { panic!() };
        assert!(image.ends_with("images/1.JPG") && mask.ends_with("masks/1.tif"));
    }

    #[test]
    fn all_troubles_are_named_at_once() {
        let dir = tempdir().unwrap();
        pair(dir.path(), "train", LAYOUTS[0], "1_A");
        write_rgb(&dir.path().join("train/Original/2_A.png"), 4, 4);
        write_rgb(&dir.path().join("train/Original/1_A.jpg"), 4, 4);
        write_grey(&dir.path().join("train/Ground truth/3_A.png"), 4, 4);
        std::fs::create_dir_all(dir.path().join("test/Original")).unwrap();
        let error = fails(json!({"root": dir.path(), "split": "all"}));
        for part in ["1_A.jpg and 1_A.png", "2_A.png", "for the masks: 3_A.png", "test holds no folders", "it holds Original"] {
            assert!(error.message().contains(part), "{part} is not in {error}");
        }
        assert!(error.mend().unwrap().contains("same name"));
    }

    /// What a source that may leave samples out lists, and what it found broken.
    fn whole_and_broken(given: serde_json::Value) -> (Vec<String>, Vec<(String, String)>) {
        let cx = BuildContext { skips_broken: true, ..context() };
        let Running::Source(mut source) = build(&kind(), given, &cx).unwrap() else { panic!() };
        let broken = source.broken().into_iter().map(|(id, error)| (id.to_string(), error.message().to_owned())).collect();
        let mut ids = Vec::new();
        source
            .epoch(0, &mut |item| {
                ids.push(item.sample.to_string());
                Ok(())
            })
            .unwrap();
        assert_eq!(source.samples(), Some(ids.len() as u64));
        (ids, broken)
    }

    #[test]
    fn incomplete_samples_are_broken_each_once_where_they_may_be_left_out() {
        let dir = tempdir().unwrap();
        for stem in ["1_A", "2_A", "3_A"] {
            pair(dir.path(), "train", LAYOUTS[0], stem);
        }
        write_rgb(&dir.path().join("train/Original/4_A.png"), 4, 4);
        write_grey(&dir.path().join("train/Ground truth/5_A.png"), 4, 4);
        // Which of the two is the image of the mask?
        write_rgb(&dir.path().join("train/Original/2_A.jpg"), 4, 4);
        let (whole, broken) = whole_and_broken(json!({"root": dir.path()}));
        assert_eq!(whole, ["train/1_A", "train/3_A"]);
        let expected = [("train/2_A", "2_A.jpg and 2_A.png"), ("train/4_A", "no mask"), ("train/5_A", "no image")];
        assert_eq!(broken.len(), 3, "{broken:?}");
        for ((id, error), (name, part)) in broken.iter().zip(expected) {
            assert!(id == name && error.contains(part), "{id}: {error}");
        }
        // Samples beyond the limit aren't checked; excluded ones don't count.
        let (whole, broken) = whole_and_broken(json!({"root": dir.path(), "limit": 1}));
        assert_eq!((whole.len(), broken.len()), (1, 0));
        let list = dir.path().join("quarantine.txt");
        std::fs::write(&list, "# x\ntrain/2_A\tfiles: twice\ntrain/4_A\ntrain/5_A\n").unwrap();
        let (whole, broken) = whole_and_broken(json!({"root": dir.path(), "exclude": list}));
        assert_eq!((whole.len(), broken.len()), (2, 0));
        assert_eq!(
            ids(json!({"root": dir.path(), "exclude": list}), 0),
            ["train/1_A", "train/3_A"],
            "nothing is left to fail of"
        );
        // A folder without any image is no matter of single samples.
        let cx = BuildContext { skips_broken: true, ..context() };
        assert!(build(&kind(), json!({"root": dir.path().join("nowhere")}), &cx).is_err());
    }

    #[test]
    fn where_there_is_no_data_the_error_says_how_to_get_it() {
        let dir = tempdir().unwrap();
        let missing = fails(json!({"root": dir.path().join("nowhere")}));
        assert!(missing.message().contains("doesn't exist"));
        let empty = fails(json!({"root": dir.path()}));
        assert!(empty.message().contains("it holds nothing"), "{empty}");
        for name in ["train/Original", "train/Ground truth"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let bare = fails(json!({"root": dir.path()}));
        assert!(bare.message().contains("no image in"), "{bare}");
        for error in [missing, empty, bare] {
            for part in ["10.6084/m9.figshare.19688169", "1.76 GB", "Ground truth", "pipeline sample"] {
                assert!(error.mend().unwrap().contains(part));
            }
        }
    }

    #[test]
    fn a_folder_of_another_layout_is_told_of_image_pairs() {
        let (other, drive) = (tempdir().unwrap(), tempdir().unwrap());
        pair(other.path(), "", ["imgs", "labels"], "1");
        pair(drive.path(), "training", LAYOUTS[2], "21");
        let (other, drive) = (fails(json!({"root": other.path()})), fails(json!({"root": drive.path()})));
        assert!(other.message().contains("it holds imgs"), "{other}");
        assert!(drive.message().contains("holds training"), "{drive}");
        for error in [other, drive] {
            let help = error.mend().unwrap();
            assert!(help.contains("image_pairs") && !help.contains("1.76 GB"), "{help}");
        }
    }

    /// A folder of 24 pairs of four classes.
    fn classes() -> tempfile::TempDir {
        let dir = tempdir().unwrap();
        for number in 1..=24 {
            pair(dir.path(), "train", LAYOUTS[0], &format!("{number}_{}", ["A", "D", "G", "N"][number % 4]));
        }
        pair(dir.path(), "test", LAYOUTS[0], "1_D");
        dir
    }

    #[test]
    fn a_validation_part_comes_out_of_train_with_every_class() {
        let dir = classes();
        let part = |split: Value, part: &str| ids(json!({"root": dir.path(), "split": split, "part": part}), 0);
        let split = json!({"validation": 0.17, "seed": 7});
        let [train, validation, all] = ["train", "validation", "all"].map(|name| part(split.clone(), name));
        assert_eq!([train.len(), validation.len(), all.len()], [20, 4, 24]);
        assert!(train.iter().all(|id| id.starts_with("train/") && !validation.contains(id)));
        let class = |id: &String| id.rsplit('_').next().unwrap().to_owned();
        let mut seen: Vec<String> = validation.iter().map(class).collect();
        seen.sort();
        assert_eq!(seen, ["A", "D", "G", "N"], "stratified by default");
        // What is excluded or limited moves nobody else.
        let given = json!({"root": dir.path(), "split": split, "part": "validation", "exclude": [&validation[0], &train[0]]});
        assert_eq!(ids(given, 0), validation[1..]);
        let given = json!({"root": dir.path(), "split": split, "part": "validation", "limit": 2});
        assert_eq!(ids(given, 0), validation[..2]);
        // Nor does a sample that has lost its mask, where such samples may be left out.
        let mask = dir.path().join("train/Ground truth").join(format!("{}.png", train[0].strip_prefix("train/").unwrap()));
        std::fs::remove_file(mask).unwrap();
        let (whole, broken) = whole_and_broken(json!({"root": dir.path(), "split": split, "part": "validation"}));
        assert_eq!((whole, broken.len()), (validation, 0));
        let (whole, broken) = whole_and_broken(json!({"root": dir.path(), "split": split, "part": "train"}));
        assert_eq!((&whole[..], &broken[0].0), (&train[1..], &train[0]));
    }

    #[test]
    fn folds_divide_the_folders_that_from_names() {
        let dir = classes();
        let tested = |fold: usize, from: &str| {
            let split = json!({"folds": 5, "fold": fold, "seed": 7, "from": from});
            ids(json!({"root": dir.path(), "split": split, "part": "test"}), 0)
        };
        let mut all: Vec<String> = (0..5).flat_map(|fold| tested(fold, "all")).collect();
        all.sort_by(|left, right| natural(left, right));
        assert_eq!(all, ids(json!({"root": dir.path(), "split": "all"}), 0), "each pair in one fold");
        assert_eq!((0..5).map(|fold| tested(fold, "train").len()).sum::<usize>(), 24);
        // An eye of the same number in another folder is another eye, unless `group` says otherwise.
        let split = json!({"folds": 25, "seed": 7, "from": "all", "group": "{id}"});
        let error = fails(json!({"root": dir.path(), "split": split, "part": "test"}));
        assert!(error.message().contains("25 folds, and the samples are only 24 groups"), "{error}");
    }

    #[test]
    fn the_part_is_known_before_the_run() {
        let part = |given: Value| {
            let mut options = crate::testing::defaults(&kind());
            given.as_object().unwrap().iter().for_each(|(name, value)| options[name] = value.clone());
            options["root"] = json!("data");
            let checked = kind().run_check(&options, &[]).unwrap();
            assert!(checked.findings.len() <= 1);
            match checked.findings.first() {
                Some(finding) => finding.message.clone(),
                None => checked.facts.get(fact::PART).map_or(String::new(), |fact| fact.value.as_str().unwrap().into()),
            }
        };
        assert_eq!(part(json!({})), "train");
        assert_eq!([part(json!({"split": "test"})), part(json!({"split": "all"}))], ["test", ""]);
        assert_eq!(part(json!({"split": {"validation": 0.1}, "part": "validation"})), "validation");
        assert!(part(json!({"part": "train"})).contains("nothing is divided"));
        assert!(part(json!({"split": {"validation": 0.1}})).contains("no `part` says"));
        assert!(part(json!({"split": {"folds": 3, "group": "{child}"}, "part": "train"})).contains("no capture `child`"));
    }

    #[test]
    fn names_of_the_set_have_a_number_and_a_class() {
        let said =
            |stem: &str| captures("train/", stem).into_iter().map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>();
        assert_eq!(said("17_A"), ["class=A", "folder=train", "id=17_A", "number=17"]);
        for stem in ["x_A", "17", "_A", "17_"] {
            assert_eq!(said(stem), ["folder=train".to_owned(), format!("id={stem}")]);
        }
    }

    #[test]
    fn the_real_set_is_listed() {
        let Some(root) = real("FIVES") else { return };
        let found = ids(json!({"root": root}), 0);
        assert_eq!((found.len(), found[0].as_str()), (12, "train/3_A"));
        assert_eq!(ids(json!({"root": root, "split": "test"}), 0), ["test/5_A", "test/27_A", "test/36_A"]);
    }
}
