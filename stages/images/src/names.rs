//! Kinds of names that data sets have, on the disk: whose file each is, and what is said of it. Not part of any build.

use std::ffi::OsStr;
use std::path::Path;

use pipeline_contract::{BuildContext, Result, Running, StageError};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::testing::{build, context, emitted, mapped, reported, write_grey, write_rgb};
use crate::{ImagePair, SampleFiles};

const NFC: &str = "\u{e9}";
const NFD: &str = "e\u{301}";
const COMBINED: &str = "\u{1ebf}";
const MIXED: &str = "\u{ea}\u{301}";
const APART: &str = "e\u{302}\u{301}";

/// A folder of files with these names, each of a few pixels.
fn folder(names: &[&str]) -> TempDir {
    let dir = tempdir().unwrap();
    names.iter().for_each(|name| write_grey(&dir.path().join(name), 4, 4));
    dir
}

/// Ids of broken samples, and what is wrong with each.
type Broken = Vec<(String, String)>;

/// What a source lists: ids of whole samples with the names of their files, and what is wrong with broken ones.
fn listed_by(kind: &pipeline_contract::StageKind, given: Value, skips_broken: bool) -> Result<(Vec<String>, Broken)> {
    let cx = BuildContext { skips_broken, ..context() };
    let Running::Source(mut source) = build(kind, given, &cx)? else { panic!() };
    let broken = source.broken().into_iter().map(|(id, error)| (id.to_string(), error.message().to_owned())).collect();
    let mut ids = Vec::new();
    source.epoch(0, &mut |item| {
        ids.push(item.sample.to_string());
        Ok(())
    })?;
    Ok((ids, broken))
}

fn listed(given: Value, skips_broken: bool) -> Result<(Vec<String>, Broken)> {
    listed_by(&crate::image_pairs::kind(), given, skips_broken)
}

/// The pairs that `image_pairs` makes of a folder: the bytes of both files' names.
fn pairs(given: Value) -> Vec<[Vec<u8>; 2]> {
    let name = |path: &Path| path.file_name().unwrap().as_encoded_bytes().to_vec();
    let samples = emitted(&crate::image_pairs::kind(), given, 0).unwrap();
    samples
        .into_iter()
        .map(|(_, files)| match files {
            SampleFiles::Pair { image, mask, .. } => [name(&image), name(&mask)],
            other => panic!("{other:?}"),
        })
        .collect()
}

fn of(root: &Path, image: &str, mask: &str) -> Value {
    json!({"root": root, "image": image, "mask": mask})
}

fn all(root: &Path) -> Value {
    of(root, "images/{id}.*", "masks/{id}.*")
}

fn fives(root: &Path, skips_broken: bool) -> Result<(Vec<String>, Broken)> {
    listed_by(&crate::fives::kind(), json!({"root": root}), skips_broken)
}

fn said(error: &StageError) -> String {
    format!("{}; {}", error.message(), error.mend().unwrap_or_default())
}

#[test]
fn names_of_two_unicode_forms_are_joined() {
    for [left, right] in [[NFC, NFD], [NFD, NFC], [COMBINED, MIXED], [APART, COMBINED]] {
        let at = |folder: &str, form: &str| format!("{folder}/œil_{form}_1.png");
        let dir = folder(&[&at("images", left), &at("masks", right), "images/2.png", "masks/2.png"]);
        let same = listed(all(dir.path()), false).unwrap().0;
        assert_eq!(same, ["2".to_owned(), format!("œil_{}_1", crate::form::normal(left))], "ids are in normal form");
        assert_eq!(fives(dir.path(), false).unwrap().0, same);
        // In the pattern, too; one of both forms.
        for written in [left, right] {
            let [image, mask] = ["images", "masks"].map(|folder| format!("{folder}/{{a:.+}}_{written}_{{id:[0-9]+}}.png"));
            assert_eq!(listed(of(dir.path(), &image, &mask), false).unwrap().0, ["œil_1"]);
        }
    }
    let Some(folder) = reported("unicode_nfd") else { return };
    let files = pairs(all(&folder));
    assert_ne!(files[0][0], files[0][1]);
    assert_eq!((files.len(), fives(&folder, false).unwrap().0.len()), (1, 1));
}

#[test]
fn bytes_come_before_forms_and_what_is_unclear_names_all_files() {
    let at = |folder: &str, form: &str| format!("{folder}/{form}.png");
    let made = |images: &[&str], masks: &[&str]| {
        let names = images.iter().map(|form| at("images", form)).chain(masks.iter().map(|form| at("masks", form)));
        let names: Vec<String> = names.chain(["images/2.png".into(), "masks/2.png".into()]).collect();
        folder(&names.iter().map(String::as_str).collect::<Vec<_>>())
    };
    // Two photographs that differ in form alone, each with its own mask.
    let dir = made(&[NFC, NFD], &[NFD, NFC]);
    for [image, mask] in pairs(all(dir.path())) {
        assert_eq!(image, mask);
    }
    let expected = ["2".to_owned(), NFD.into(), NFC.into()];
    assert_eq!(listed(all(dir.path()), false).unwrap().0, expected);
    assert_eq!(fives(dir.path(), false).unwrap().0, expected);
    for source in [crate::image_pairs::kind(), crate::fives::kind()] {
        let mut given = if source.name == "fives" { json!({"root": dir.path()}) } else { all(dir.path()) };
        given["exclude"] = json!([NFC]);
        assert_eq!(listed_by(&source, given, false).unwrap().0, ["2", NFD], "one of both is excluded: {}", source.name);
    }
    // One mask for two photographs.
    for (images, masks, whole, broken) in [
        (&[NFC, NFD][..], &[NFC][..], &["2", NFC][..], &[NFD][..]),
        (&[COMBINED, APART], &[MIXED], &["2"], &[APART, COMBINED]),
        (&[MIXED], &[COMBINED, APART], &["2"], &[MIXED]),
    ] {
        let dir = made(images, masks);
        for (list, kind) in
            [(listed(all(dir.path()), true).unwrap(), "image_pairs"), (fives(dir.path(), true).unwrap(), "fives")]
        {
            let mut ids: Vec<&str> = list.1.iter().map(|(id, _)| id.as_str()).collect();
            ids.sort_unstable();
            let mut broken = broken.to_vec();
            broken.sort_unstable();
            assert_eq!((list.0, ids.len()), (whole.iter().map(|id| (*id).to_owned()).collect(), broken.len()), "{kind}");
            for (_, error) in &list.1 {
                assert!(images.len() + masks.len() < 3 || error.contains("NFC") || error.contains("NFD"), "{kind}: {error}");
            }
        }
        let errors = [listed(all(dir.path()), false).unwrap_err(), fives(dir.path(), false).unwrap_err()];
        for error in errors {
            for form in images.iter().chain(masks).filter(|_| whole.len() == 1) {
                assert!(error.message().contains(&format!("/{form}")), "{error} names {form:?}");
            }
            assert!(error.message().contains("NFD"), "{error}");
        }
    }
}

#[test]
fn patterns_folders_choices_and_excludes_are_in_any_unicode_form() {
    for form in [NFC, NFD] {
        let dir = tempdir().unwrap();
        for id in ["1", "2", "3", "4"] {
            write_grey(&dir.path().join(format!("Augen_{form}/{form}_{id}.png")), 4, 4);
            write_grey(&dir.path().join(format!("m/{NFC}_{id}_m.png")), 4, 4);
            write_grey(&dir.path().join(format!("m/{NFD}_{id}_feld.png")), 4, 4);
        }
        for other in [NFC, NFD] {
            let mut given = of(dir.path(), &format!("Augen_{other}/{{eye:.}}_{{id}}.png"), "m/{eye}_{id}_m.png");
            given["field_of_view"] = json!("m/{eye}_{id}_feld.png");
            given["only"] = json!(format!("eye={other}"));
            given["exclude"] = json!([format!("{other}_3")]);
            let samples = emitted::<SampleFiles>(&crate::image_pairs::kind(), given.clone(), 0).unwrap();
            assert_eq!(samples.iter().map(|(id, _)| &id[..]).collect::<Vec<_>>(), ["é_1", "é_2", "é_4"]);
            assert!(samples.iter().all(|(_, files)| matches!(files, SampleFiles::Pair { inside: Some(_), .. })));
            // The same parts, whatever the form.
            given["split"] = json!({"folds": 3, "group": "{eye}{id}", "seed": 1});
            given["part"] = json!("test");
            given["exclude"] = json!([]);
            let tested = listed(given.clone(), false).unwrap().0;
            given["root"] = json!(folder_of(NFC, &dir));
            assert_eq!(tested, listed(given, false).unwrap().0);
        }
    }
}

/// The same files with one form.
fn folder_of(form: &str, dir: &TempDir) -> std::path::PathBuf {
    let other = dir.path().join("other");
    for id in ["1", "2", "3", "4"] {
        write_grey(&other.join(format!("Augen_{form}/{form}_{id}.png")), 4, 4);
        write_grey(&other.join(format!("m/{form}_{id}_m.png")), 4, 4);
        write_grey(&other.join(format!("m/{form}_{id}_feld.png")), 4, 4);
    }
    other
}

#[test]
fn two_folders_of_one_name_in_two_forms_are_told_apart() {
    let names = [COMBINED, MIXED].map(|form| format!("{form}/1.png"));
    let dir = folder(&[&names[0], &names[1], "m/1.png"]);
    // By bytes; where none has them, both are named.
    assert_eq!(pairs(of(dir.path(), &format!("{MIXED}/{{id}}.png"), "m/{id}.png")).len(), 1);
    let error = listed(of(dir.path(), &format!("{APART}/{{id}}.png"), "m/{id}.png"), false).unwrap_err();
    for part in [&format!("{COMBINED} (NFC)"), &format!("{MIXED} (in mixed Unicode forms)")] {
        assert!(error.message().contains(part), "{error}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_no_unicode_are_joined_by_their_bytes() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = folder(&["images/2.png", "masks/2.png"]);
    let path = |folder: &str, name: &[u8]| dir.path().join(folder).join(OsStr::from_bytes(name));
    let link = |folder: &str, name: &[u8]| std::fs::copy(dir.path().join("images/2.png"), path(folder, name)).map(drop);
    // Of Latin-1, as archives of Windows have them; they are the same as lossy text.
    for folder in ["images", "masks"] {
        for name in [&b"eil_\xe9.png"[..], b"eil_\xe8.png"] {
            if let Err(error) = link(folder, name) {
                eprintln!("this disk takes no names that are no Unicode: {error}");
                return;
            }
        }
    }
    let files = pairs(all(dir.path()));
    assert!(files.len() == 3 && files.iter().all(|[image, mask]| image == mask), "{files:?}");
    let ids = ["2", "eil_\\xE8", "eil_\\xE9"];
    assert_eq!(listed(all(dir.path()), false).unwrap().0, ids);
    assert_eq!(fives(dir.path(), false).unwrap().0, ids);
    let mut given = all(dir.path());
    given["exclude"] = json!(["eil_\\xE9"]);
    assert_eq!(listed(given, false).unwrap().0, ids[..2]);
    // No photograph gets another's mask, nor that of U+FFFD, which stands for such bytes elsewhere.
    std::fs::remove_file(path("masks", b"eil_\xe8.png")).unwrap();
    std::fs::remove_file(path("images", b"eil_\xe9.png")).unwrap();
    link("masks", "eil_\u{fffd}.png".as_bytes()).unwrap();
    for (whole, broken) in [listed(all(dir.path()), true).unwrap(), fives(dir.path(), true).unwrap()] {
        let broken: Vec<&str> = broken.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!((whole, broken), (vec!["2".to_owned()], vec!["eil_\\xE8", "eil_\\xE9", "eil_\u{fffd}"]));
    }
    let error = listed(all(dir.path()), false).unwrap_err();
    assert!(error.message().contains("images without a mask: images/eil_\\xE8.png"), "{error}");
    // One that is called as the other is shown.
    link("images", b"eil_\\xE9.png").unwrap();
    link("images", b"eil_\xe9.png").unwrap();
    link("masks", b"eil_\\xE9.png").unwrap();
    let error = listed(all(dir.path()), false).unwrap_err();
    assert!(error.message().contains("two samples would have one id"), "{error}");
    // Photographs alone are refused each by itself.
    let input = dir.path().join("images").display().to_string();
    let photographs = crate::list_photographs(&[input], &|_| false).unwrap();
    let broken: Vec<&str> = photographs.broken.iter().map(|(name, _)| name.rsplit('/').next().unwrap()).collect();
    assert_eq!((photographs.photographs.len(), broken), (2, vec!["eil_\\xE8.png", "eil_\\xE9.png"]));
}

#[test]
fn extensions_are_in_any_case_and_what_fits_no_pattern_is_told() {
    let dir = folder(&["manual1/01_dr.tif", "manual1/01_h.TIF", "manual1/03_h.tif"]);
    for name in ["images/01_dr.JPG", "images/01_h.jpg", "images/03_H.Jpg", "images/readme.jpg", "images/x.webp"] {
        write_rgb(&dir.path().join("copy.png"), 4, 4);
        std::fs::create_dir_all(dir.path().join("images")).unwrap();
        std::fs::copy(dir.path().join("copy.png"), dir.path().join(name)).unwrap();
    }
    std::fs::write(dir.path().join("images/notes.txt"), "").unwrap();
    let given = of(dir.path(), "images/{id:[0-9]+_[a-z]+}.jpg", "manual1/{id}.tif");
    let (ids, broken) = listed(given.clone(), true).unwrap();
    assert_eq!((ids, broken.len()), (vec!["01_dr".to_owned(), "01_h".into()], 1));
    let help = said(&listed(given, false).unwrap_err());
    for part in [
        "masks without an image: manual1/03_h.tif",
        "3 files that look like images fit no pattern: images/03_H.Jpg, images/readme.jpg, images/x.webp; but for capital letters one would fit images/03_H.Jpg",
    ] {
        assert!(help.contains(part), "{help}");
    }
    assert!(!help.contains("notes.txt"), "{help}");
    // The case says something where it is all that tells files apart.
    let dir = folder(&["1.png", "2.png"]);
    std::fs::rename(dir.path().join("2.png"), dir.path().join("1.PNG")).unwrap();
    if std::fs::read_dir(dir.path()).unwrap().count() == 2 {
        assert_eq!(pairs(of(dir.path(), "{id}.PNG", "{id}.png")), [[b"1.PNG".to_vec(), b"1.png".to_vec()]]);
        let error = listed(of(dir.path(), "{id}.png", "m/{id}.png"), false).unwrap_err();
        assert!(error.message().contains("two files of the same captures: 1.PNG and 1.png"), "{error}");
    }

    let Some(folder) = reported("extension_case") else { return };
    for pattern in ["png", "PNG", "*"] {
        let [image, mask] = ["images", "masks"].map(|name| format!("{name}/{{id}}.{pattern}"));
        assert_eq!(listed(of(&folder, &image, &mask), false).unwrap().0, ["0", "1", "2", "3", "4"]);
    }
}

#[test]
fn what_is_hidden_or_left_by_programs_is_nobodys() {
    let dir = folder(&["images/1.png", "masks/1.png"]);
    for stray in [
        "images/.1.png",
        "images/._1.png",
        "images/__MACOSX/2.png",
        "__MACOSX/images/._1.png",
        "images/@eaDir/1.png/SYNOPHOTO_THUMB.png",
        "images/.git/3.png",
        "masks/.DS_Store",
        "masks/Thumbs.db",
        "masks/desktop.ini",
        "masks/lost+found/4.png",
    ] {
        let path = dir.path().join(stray);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "stray").unwrap();
    }
    for given in [
        all(dir.path()),
        of(dir.path(), "images/**/{id}.*", "masks/**/{id}.*"),
        of(dir.path(), "{a:i.*}/**/{id}.*", "masks/{id}.*"),
    ] {
        assert_eq!(pairs(given), [[b"1.png", b"1.png"].map(|name| name.to_vec())]);
    }
    assert_eq!(fives(dir.path(), false).unwrap().0, ["1"]);
    let input = dir.path().join("images").display().to_string();
    for input in [input.clone(), format!("{input}/**/*.*")] {
        assert_eq!(crate::list_photographs(&[input], &|_| false).unwrap().photographs.len(), 1);
    }
    // A data set may lie in a hidden folder.
    let hidden = dir.path().join(".data");
    write_grey(&hidden.join("images/1.png"), 4, 4);
    write_grey(&hidden.join("masks/1.png"), 4, 4);
    assert_eq!(listed(all(&hidden), false).unwrap().0, ["1"]);
    assert_eq!(listed(of(dir.path(), ".data/images/{id}.*", ".data/masks/{id}.*"), false).unwrap().0, ["1"]);
}

#[test]
fn images_with_a_file_for_each_channel_are_refused() {
    let dir = folder(&["imagesTr/a_0000.png", "imagesTr/b_0000.png", "labelsTr/a.png", "labelsTr/b.png"]);
    let given = of(dir.path(), "imagesTr/{case}_0000.png", "labelsTr/{case}.png");
    assert_eq!(listed(given.clone(), false).unwrap().0, ["a", "b"]);
    for channel in ["imagesTr/a_0001.png", "imagesTr/a_0002.png"] {
        write_grey(&dir.path().join(channel), 4, 4);
    }
    for skips_broken in [true, false] {
        let error = listed(given.clone(), skips_broken).unwrap_err();
        for part in ["a file for each channel (_0000, _0001, ...) aren't read: imagesTr/a_0000.png", "-combine"] {
            assert!(said(&error).contains(part), "{error}");
        }
    }
    let error = listed(of(dir.path(), "imagesTr/{case}_{channel:[0-9]+}.png", "labelsTr/{case}.png"), false).unwrap_err();
    assert!(error.message().contains("two files of the same captures: imagesTr/a_0000.png and imagesTr/a_0001.png"), "{error}");
    // Numbers of frames are no channels.
    let dir = folder(&["i/a_0000.png", "i/a_0001.png", "m/a_0000.png", "m/a_0001.png"]);
    assert_eq!(listed(of(dir.path(), "i/{id}.png", "m/{id}.png"), false).unwrap().0, ["a_0000", "a_0001"]);
}

#[cfg(unix)]
#[test]
fn links_that_lead_nowhere_are_the_matter_of_their_samples() {
    use std::os::unix::fs::symlink;
    let dir = folder(&["images/0.png", "images/1.png", "masks/0.png", "masks/1.png"]);
    let link = |to: &str, name: &str| symlink(to, dir.path().join(name)).unwrap();
    link("someone@machine.1234", "images/.#0.png");
    link("nowhere", "images/readme.txt");
    link("nowhere", "images/other.jpg");
    std::fs::create_dir(dir.path().join("images/sub")).unwrap();
    link("..", "images/sub/above");
    link("sub/above/sub", "images/round");
    link("itself", "images/itself");
    link("..", "images/up");
    link("../..", "images/sub/far_up");
    std::os::unix::fs::symlink(dir.path(), dir.path().join("masks/root")).unwrap();
    let of = |image: &str, mask: &str| of(dir.path(), image, mask);
    for (image, mask) in [
        ("images/{id}.png", "masks/{id}.png"),
        ("images/**/{id}.png", "masks/**/{id}.png"),
        ("i*/**/{id:[0-9]+}.*", "masks/{id}.*"),
    ] {
        assert_eq!(listed(of(image, mask), false).unwrap().0, ["0", "1"], "{image}");
    }
    // A photograph that is gone, or a link to itself, is its sample's trouble, which `decode` tells.
    for name in ["2.png", "3.png"] {
        link(if name == "2.png" { "gone.png" } else { name }, &format!("images/{name}"));
        link("gone.png", &format!("masks/{name}"));
        let (ids, broken) = listed(of("images/{id}.png", "masks/{id}.png"), false).unwrap();
        assert_eq!((ids.last().map(|id| format!("{id}.png")), broken.len()), (Some(name.into()), 0));
        assert_eq!(fives(dir.path(), true).unwrap().0, ids);
        let [image, mask] = ["images", "masks"].map(|folder| dir.path().join(folder).join(name));
        let stage = build(&crate::decode::kind(), json!({}), &context()).unwrap();
        let error = mapped::<_, ImagePair>(&stage, SampleFiles::Pair { image, mask, inside: None }, "2", 0).unwrap_err();
        assert!(error.message().contains(&format!("images/{name} can't be read")), "{error}");
    }

    let Some(folder) = reported("a_link_that_leads_nowhere") else { return };
    // A copy of the folder may hold files in the place of its links: those lack a mask.
    assert_eq!(listed(all(&folder), true).unwrap().0, ["0", "1"]);
}

/// A folder whose path is too long for the system, so that not even root can list it.
#[cfg(target_os = "linux")]
fn unlistable(folder: &Path) {
    let deep = |start: &Path| {
        let mut path = start.to_path_buf();
        while path.as_os_str().len() < 3000 {
            path.push("x".repeat(200));
        }
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    let other = folder.with_extension("moved");
    deep(&other);
    std::fs::rename(&other, deep(folder).join("moved")).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn folders_that_cannot_be_listed_matter_where_a_file_may_fit() {
    let dir = folder(&["images/0.png", "images/a/1.png", "masks/0.png", "masks/1.png"]);
    unlistable(&dir.path().join("images/b"));
    let of = |image: &str, mask: &str| of(dir.path(), image, mask);
    // No file fits there.
    assert_eq!(listed(of("images/{id:0}.png", "masks/{id:0}.png"), false).unwrap().0, ["0"]);
    assert_eq!(listed(of("images/a/**/{id}.png", "masks/{id:1}.png"), false).unwrap().0, ["1"]);
    // One may: the others are read where broken samples are skipped.
    let given = of("images/**/{id}.png", "masks/{id}.png");
    let error = listed(given.clone(), false).unwrap_err();
    assert!(error.message().contains("folders that can't be listed, where files may fit: images/b/"), "{error}");
    let (ids, broken) = listed(given.clone(), true).unwrap();
    assert_eq!((ids, broken.len()), (vec!["0".to_owned(), "1".into()], 1));
    let mut excluded = given;
    excluded["exclude"] = json!([broken[0].0]);
    assert_eq!(listed(excluded, false).unwrap().0, ["0", "1"]);
    let input = format!("{}/images/**/*.png", dir.path().display());
    let photographs = crate::list_photographs(&[input], &|_| false).unwrap();
    assert_eq!((photographs.photographs.len(), photographs.broken.len()), (2, 1));
    // The folder that the pattern names is no matter of single samples.
    let error = listed(of("nowhere/{id}.png", "masks/{id}.png"), true).unwrap_err();
    assert!(error.message().contains("no image fits"), "{error}");
}
