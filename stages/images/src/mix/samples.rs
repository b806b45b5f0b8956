//! What a `mix` emits: the samples of its sources, listed by them. In which order, `order` says.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::sync::Arc;

use pipeline_contract::{BuildContext, Content, Doubt, Output, Result, Running, Source, StageError, again, first_of};

use super::options::{From, Options};
use super::order::{Order, Size, epoch, shares};
use crate::SampleFiles;
use crate::exclude::{Exclude, Excluded};
use crate::fingerprint::parts;

/// The samples of all sources.
pub(crate) struct Mixture {
    sources: Vec<Listed>,
    /// Their sizes, in the same order.
    sizes: Vec<Size>,
    order: Order,
    shuffle: bool,
    cx: BuildContext,
}

/// One source's samples. All ids begin with the source's name and a slash.
struct Listed {
    samples: Vec<(Arc<str>, SampleFiles)>,
    broken: Vec<(Arc<str>, StageError)>,
}

/// Lists the samples of all sources, or says everything that is wrong.
pub(crate) fn mixture(options: Options, cx: &BuildContext) -> Result<Mixture> {
    let (weights, sources) = (options.weights(), options.sources.iter().flatten());
    let repeated = options.order == Order::ByWeight;
    let excluded = options.exclude.clone().read()?;
    let (mut all, mut sizes, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for (name, given) in sources {
        match list(name, &given.from, excluded.within(name, repeated), cx) {
            Ok(listed) => {
                sizes.push(Size { name: name.clone(), samples: listed.samples.len(), share: listed.samples.len() });
                all.push(listed);
            }
            Err(error) => wrong.push(error.context(name)),
        }
    }
    one(wrong)?;
    for doubt in shared(&all) {
        cx.warnings().tell(&doubt)?;
    }
    if repeated {
        let total = options.epoch.unwrap_or_else(|| sizes.iter().map(|size| size.samples).sum());
        for (size, share) in sizes.iter_mut().zip(shares(&weights, total)) {
            if share == 0 {
                return Err(StageError::new(options.no_share(&size.name, total)).help(Options::MORE));
            }
            size.share = share;
        }
    }
    if let Some(id) =
        all.iter().flat_map(|listed| &listed.samples).map(|(id, _)| id).find(|id| repeated && first_of(id) != &***id)
    {
        let message = format!("the name of {id} ends like that of a sample that comes again: with `~` and a number");
        return Err(StageError::new(message).help("rename its files, or exclude it"));
    }
    Ok(Mixture { sources: all, sizes, order: options.order, shuffle: options.shuffle, cx: cx.clone() })
}

/// The samples of one source, in its own order, without those that are `excluded` by its own ids.
fn list(name: &str, from: &From, excluded: Excluded, cx: &BuildContext) -> Result<Listed> {
    let kind = from.kind()?;
    let own: Option<Exclude> = from.options.get("exclude").and_then(|own| serde_json::from_value(own.clone()).ok());
    let within = own.map(Exclude::read).transpose()?.unwrap_or_default().and(excluded);
    let Running::Source(mut source) = kind.build(from.plain(&kind, &within), cx)? else {
        return Err(StageError::new(format!("`{}` is no source", kind.name)));
    };
    let id = |sample: &str| -> Arc<str> { format!("{name}/{sample}").into() };
    let broken = source.broken().into_iter().map(|(sample, error)| (id(&sample), error)).collect();
    let mut samples = Vec::new();
    // Drawn samples are excluded here; sources with the option have done so.
    let excludes = kind.options.iter().any(|option| option.name == "exclude");
    source.epoch(0, &mut |item| {
        if excludes || !within.holds(&item.sample) {
            samples.push((id(&item.sample), item.take::<SampleFiles>()?));
        }
        Ok(())
    })?;
    match samples.is_empty() {
        true => Err(StageError::new("no sample is whole and not excluded")
            .help("mend its samples, shorten `exclude`, or remove this source")),
        false => Ok(Listed { samples, broken }),
    }
}

/// All errors as one.
fn one(errors: Vec<StageError>) -> Result<()> {
    match errors.as_slice() {
        [] => Ok(()),
        [error] => Err(error.clone()),
        all => {
            let error = StageError::new(all.iter().map(StageError::message).collect::<Vec<_>>().join("\n  "));
            let mut mends: Vec<&str> = all.iter().filter_map(StageError::mend).collect();
            mends.dedup();
            Err(if mends.is_empty() { error } else { error.help(mends.join("; ")) })
        }
    }
}

/// What makes a sample the same in two sources: its photograph's file, whatever links lead to it, or what is drawn.
#[derive(PartialEq, Eq, Hash)]
enum Same {
    File(PathBuf),
    Drawn(usize, u64),
}

/// The samples that two sources have in common.
fn shared(sources: &[Listed]) -> Vec<Doubt> {
    let same = |files: &SampleFiles| match files {
        SampleFiles::Pair { image, .. } | SampleFiles::Photograph(image) => {
            Same::File(std::fs::canonicalize(image).unwrap_or_else(|_| image.clone()))
        }
        SampleFiles::Drawn { size, seed, .. } => Same::Drawn(*size, *seed),
    };
    let (mut first, mut twice) = (HashMap::<Same, (usize, Arc<str>)>::new(), Vec::new());
    for (at, source) in sources.iter().enumerate() {
        for (id, files) in &source.samples {
            match first.entry(same(files)) {
                Entry::Vacant(place) => drop(place.insert((at, id.clone()))),
                Entry::Occupied(other) if other.get().0 != at => {
                    let words = format!(
                        "{} and {id} are the same photograph: it is in two sources of the mix, and comes twice",
                        other.get().1
                    );
                    twice.push(Doubt::new("sample_twice", &**id, words));
                }
                Entry::Occupied(_) => {}
            }
        }
    }
    twice
}

impl Mixture {
    /// What its samples are made of, for comparing it with other sources.
    pub(crate) fn contents(self) -> Vec<Content> {
        let samples = self.sources.into_iter().flat_map(|source| source.samples);
        samples.map(|(sample, files)| Content { sample, parts: parts(files) }).collect()
    }
}

impl Source for Mixture {
    type Out = SampleFiles;

    fn samples(&self) -> Option<u64> {
        Some(self.sizes.iter().map(|size| size.share as u64).sum())
    }

    fn broken(&mut self) -> Vec<(Arc<str>, StageError)> {
        self.sources.iter_mut().flat_map(|source| std::mem::take(&mut source.broken)).collect()
    }

    fn epoch(&mut self, number: u64, out: &mut Output<'_, SampleFiles>) -> Result<()> {
        let mut times: Vec<Vec<u32>> = self.sizes.iter().map(|size| vec![0; size.samples]).collect();
        for (source, sample) in epoch(self.order, self.shuffle, &self.sizes, number, &self.cx) {
            let time = &mut times[source][sample];
            *time += 1;
            let (id, files) = &self.sources[source].samples[sample];
            out.emit(again(id, *time), files.clone())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pipeline_contract::Stored;
    use serde_json::{Map, Value, json};
    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::mix::kind;
    use crate::testing::{build, context, emitted, real, write_grey, write_rgb};

    fn pair(folder: &Path, image: &str, mask: &str) {
        write_rgb(&folder.join(image), 4, 4);
        write_grey(&folder.join(mask), 4, 4);
    }

    /// A folder in the layout of FIVES with six pairs to train on and two to test, and one with four pairs by patterns.
    fn folders() -> TempDir {
        let dir = tempdir().unwrap();
        for (part, count) in [("train", 6), ("test", 2)] {
            for number in 1..=count {
                let folder = dir.path().join("fives").join(part);
                pair(&folder, &format!("Original/{number}_A.png"), &format!("Ground truth/{number}_A.png"));
            }
        }
        for name in ["01L", "01R", "02L", "02R"] {
            pair(&dir.path().join("chase"), &format!("Image_{name}.png"), &format!("Image_{name}_1stHO.png"));
        }
        dir
    }

    fn given(dir: &TempDir, more: Value) -> Value {
        let mut given = json!({"sources": {
            "FIVES": {"from": {"fives": {"root": dir.path().join("fives"), "split": "train", "exclude": []}}},
            "CHASE": {"from": {"image_pairs": {
                "root": dir.path().join("chase"), "image": "Image_{child:[0-9]+}{eye}.png", "mask": "Image_{child:[0-9]+}{eye}_1stHO.png", "exclude": [],
            }}},
        }});
        more.as_object().unwrap().iter().for_each(|(name, value)| given[name] = value.clone());
        given
    }

    fn ids(given: Value, epoch: u64) -> Vec<String> {
        emitted::<SampleFiles>(&kind(), given, epoch).unwrap().into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn ids_begin_with_the_source_and_samples_are_those_of_the_sources() {
        let dir = folders();
        let samples = emitted::<SampleFiles>(&kind(), given(&dir, json!({})), 0).unwrap();
        let names: Vec<&str> = samples.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(names[..2], ["FIVES/train/1_A", "FIVES/train/2_A"]);
        assert_eq!(names[5..], ["FIVES/train/6_A", "CHASE/01_L", "CHASE/01_R", "CHASE/02_L", "CHASE/02_R"]);
        let SampleFiles::Pair { image, mask, .. } = &samples[7].1 else { panic!() };
        assert!(image.ends_with("chase/Image_01R.png") && mask.ends_with("chase/Image_01R_1stHO.png"));
        let (mut first, second) =
            (ids(given(&dir, json!({"shuffle": true})), 0), ids(given(&dir, json!({"shuffle": true})), 1));
        assert!(first != second && first == ids(given(&dir, json!({"shuffle": true})), 0));
        first.sort();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(first, sorted);
    }

    #[test]
    fn a_sample_that_comes_again_in_an_epoch_has_an_id_of_its_own() {
        let dir = folders();
        let more = |epoch: usize| {
            let mut given = given(&dir, json!({"order": "by_weight", "shuffle": true, "epoch": epoch}));
            given["sources"]["CHASE"]["weight"] = json!(3);
            given
        };
        // 15 of CHASE's 4 samples: three of them come four times and one three times.
        let found = ids(more(20), 7);
        assert_eq!(found.iter().collect::<std::collections::BTreeSet<_>>().len(), 20, "{found:?}");
        let of_chase: Vec<&String> = found.iter().filter(|id| id.starts_with("CHASE/")).collect();
        assert_eq!((of_chase.len(), of_chase.iter().filter(|id| id.ends_with("~4")).count()), (15, 3));
        let Running::Source(source) = build(&kind(), more(20), &context()).unwrap() else { panic!() };
        assert_eq!(source.samples(), Some(20));
        let error = emitted::<SampleFiles>(&kind(), more(1), 0).unwrap_err();
        assert!(error.message().contains("gives `FIVES` none of the 1 samples"), "{error}");
        pair(&dir.path().join("fives/train"), "Original/1_A~2.png", "Ground truth/1_A~2.png");
        let error = emitted::<SampleFiles>(&kind(), more(20), 0).unwrap_err();
        assert!(error.message().contains("FIVES/train/1_A~2 ends like"), "{error}");
        assert_eq!(ids(given(&dir, json!({"exclude": ["FIVES/train/1_A~2"]})), 0).len(), 10);
    }

    #[test]
    fn samples_are_excluded_by_their_ids_in_the_mix_or_in_the_source() {
        let dir = folders();
        let file = dir.path().join("quarantine.txt");
        std::fs::write(&file, "FIVES/train/1_A\tdecode: cut off\nCHASE/02_R~3\tcrop: x\n").unwrap();
        let mut given = given(&dir, json!({"exclude": file, "order": "by_weight"}));
        given["sources"]["FIVES"]["from"]["fives"]["exclude"] = json!(["2_A"]);
        let mut once = ids(given.clone(), 0);
        once.sort();
        let fives = [3, 4, 5, 6].map(|number| format!("FIVES/train/{number}_A"));
        assert_eq!((&once[..3], &once[3..]), (&["CHASE/01_L", "CHASE/01_R", "CHASE/02_L"].map(str::to_owned)[..], &fives[..]));
        // A `~` means nothing where no sample comes again.
        given["order"] = json!("in_turn");
        assert_eq!(
            ids(given.clone(), 0),
            [
                "FIVES/train/3_A",
                "FIVES/train/4_A",
                "FIVES/train/5_A",
                "FIVES/train/6_A",
                "CHASE/01_L",
                "CHASE/01_R",
                "CHASE/02_L",
                "CHASE/02_R"
            ]
        );
        given["exclude"] = json!(["FIVES/3_A", "4_A", "CHASE/5_A", "train/6_A", "CHASE/01_L"]);
        assert_eq!(ids(given.clone(), 0)[..3], ["FIVES/train/1_A", "FIVES/train/5_A", "FIVES/train/6_A"]);
        // Before a limit counts, as in the source.
        given["sources"]["FIVES"]["from"]["fives"]["limit"] = json!(2);
        assert_eq!(ids(given.clone(), 0)[..3], ["FIVES/train/1_A", "FIVES/train/5_A", "CHASE/01_R"]);
        let drawn = json!({"exclude": ["D/train/drawn_0002", "E/train/drawn_0001"], "sources": {
            "D": {"from": {"synthetic_fundus": {"pairs": 2, "size": 64, "split": "train", "seed": 1}}},
            "E": {"from": {"synthetic_fundus": {"pairs": 2, "size": 64, "split": "train", "seed": 2}}},
        }});
        assert_eq!(ids(drawn, 0), ["D/train/drawn_0001", "E/train/drawn_0002"]);
    }

    #[test]
    fn splits_inside_a_source_work_as_outside() {
        let dir = folders();
        let part = |part: &str| {
            let mut given = given(&dir, json!({}));
            let chase = &mut given["sources"]["CHASE"]["from"]["image_pairs"];
            (chase["split"], chase["part"]) = (json!({"group": "{child}", "folds": 2}), json!(part));
            ids(given, 0).into_iter().filter(|id| id.starts_with("CHASE")).collect::<Vec<_>>()
        };
        let (mut train, test) = (part("train"), part("test"));
        assert!(train.len() == 2 && train[0][..8] == train[1][..8], "both eyes of a child: {train:?}");
        train.extend(test);
        train.sort();
        assert_eq!(train, ["CHASE/01_L", "CHASE/01_R", "CHASE/02_L", "CHASE/02_R"]);
    }

    #[test]
    fn what_is_broken_in_any_source_is_said_at_once() {
        let dir = folders();
        std::fs::remove_file(dir.path().join("fives/train/Ground truth/2_A.png")).unwrap();
        std::fs::remove_file(dir.path().join("chase/Image_01L_1stHO.png")).unwrap();
        let error = emitted::<SampleFiles>(&kind(), given(&dir, json!({})), 0).unwrap_err();
        for part in ["FIVES: ", "2_A.png", "CHASE: ", "Image_01L.png"] {
            assert!(error.message().contains(part), "{part} isn't in {error}");
        }
        assert!(error.mend().unwrap().contains("; "), "{error:?}");
        let cx = BuildContext { skips_broken: true, ..context() };
        let Running::Source(mut source) = build(&kind(), given(&dir, json!({})), &cx).unwrap() else { panic!() };
        let broken: Vec<String> = source.broken().iter().map(|(id, _)| id.to_string()).collect();
        assert_eq!((broken, source.samples()), (vec!["FIVES/train/2_A".to_owned(), "CHASE/01_L".to_owned()], Some(8)));
        // What is excluded isn't broken.
        let excluded = given(&dir, json!({"exclude": ["FIVES/train/2_A", "CHASE/01_L"]}));
        assert_eq!(ids(excluded, 0).len(), 8);
    }

    #[test]
    fn its_samples_are_compared_by_their_files() {
        let dir = folders();
        let contents = |given: Value| {
            let mut options = crate::testing::defaults(&kind());
            given.as_object().unwrap().iter().for_each(|(name, value)| options[name] = value.clone());
            kind().list_contents(options, &context()).unwrap().unwrap()
        };
        let found = contents(given(&dir, json!({"order": "by_weight", "epoch": 40})));
        assert_eq!(found.len(), 10, "each sample once");
        let path = |stored: &Stored| match stored {
            Stored::File { path, .. } => path.clone(),
            Stored::Computed(_) => panic!(),
        };
        assert_eq!((&*found[6].sample, found[6].parts.len()), ("CHASE/01_L", 2));
        assert!(path(&found[6].parts[0].stored).ends_with("chase/Image_01L.png"));
    }

    #[test]
    fn a_file_in_two_sources_is_told() {
        let dir = folders();
        let list = |root: &Path| {
            let from = From {
                kind: "fives".into(),
                options: Map::from_iter([("root".to_owned(), json!(root)), ("split".to_owned(), json!("train"))]),
            };
            let id = |name: &str| list(name, &from, Excluded::default(), &context()).unwrap();
            [id("A"), id("B")]
        };
        let found = shared(&list(&dir.path().join("fives")));
        assert_eq!((found.len(), found[0].kind.as_ref(), found[0].subject.as_str()), (6, "sample_twice", "B/train/1_A"));
        assert!(found[0].words.starts_with("A/train/1_A and B/train/1_A are the same"), "{found:?}");
        let [first, _] = list(&dir.path().join("fives"));
        let chase = From {
            kind: "image_pairs".into(),
            options: given(&dir, json!({}))["sources"]["CHASE"]["from"]["image_pairs"].as_object().unwrap().clone(),
        };
        assert_eq!(shared(&[first, super::list("C", &chase, Excluded::default(), &context()).unwrap()]), []);
        let mut twice = given(&dir, json!({}));
        twice["sources"]["AGAIN"] = twice["sources"]["FIVES"].clone();
        let cx = BuildContext { strict: true, ..context() };
        assert!(build(&kind(), twice.clone(), &context()).is_ok());
        assert!(build(&kind(), twice, &cx).unwrap_err().message().contains("FIVES/train/1_A and AGAIN/train/1_A"));
    }

    #[test]
    fn the_real_sets_are_mixed() {
        let (Some(fives), Some(chase)) = (real("FIVES"), real("CHASE_DB1")) else { return };
        let given = json!({"order": "by_weight", "shuffle": true, "sources": {
            "FIVES": {"weight": 3, "from": {"fives": {"root": fives, "split": "train"}}},
            "CHASE_DB1": {"weight": 1, "from": {"image_pairs": {
                "root": chase, "image": "Image_{child:[0-9]+}{eye:[LR]}.jpg", "mask": "Image_{child:[0-9]+}{eye:[LR]}_1stHO.png",
            }}},
        }});
        let found = ids(given, 3);
        assert_eq!((found.len(), found.iter().filter(|id| id.starts_with("FIVES/train/")).count()), (32, 24));
    }
}
