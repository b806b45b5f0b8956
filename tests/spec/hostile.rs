//! Files that are meant to break the reader, or are no pipeline files at all: each is refused quickly, with a reason.

use std::time::{Duration, Instant};

use super::{GOOD, broken_files, kinds, load, rendered};
use pipeline::spec;
use proptest::prelude::*;

/// What is said of a file on the disk with these bytes.
fn of_bytes(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.yml");
    std::fs::write(&path, bytes).unwrap();
    let loaded = spec::load(&path, &[], &kinds::registry());
    assert!(loaded.pipeline.is_none());
    rendered(&loaded).replace(&folder.path().display().to_string(), "DIR")
}

#[test]
fn files_that_are_no_text() {
    let mut noise: Vec<u8> = (0..10_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let start = Instant::now();
    let answers = [
        of_bytes(b""),
        of_bytes(b"# only a comment\n"),
        of_bytes(&noise),
        of_bytes(&noise[..5000]),
        of_bytes(b"name: caf\xe9\n"),
        of_bytes(b"\xff\xfen\0a\0m\0e\0"),
    ];
    noise.fill(b'a');
    let all_a = of_bytes(&noise);
    assert!(start.elapsed() < Duration::from_secs(5));
    insta::assert_snapshot!([answers.join("\n\n"), all_a].join("\n\n"));
}

#[test]
fn paths_that_are_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let say = |name: &str| {
        let loaded = spec::load(&folder.path().join(name), &[], &kinds::registry());
        rendered(&loaded).replace(&folder.path().display().to_string(), "DIR")
    };
    insta::assert_snapshot!([say("missing.yml"), say("."), say("missing/file.yml"), say("a\0b")].join("\n\n"));
}

#[test]
fn texts_that_explode() {
    let nested_references: String = (1..400).map(|at| format!("  k{at}: \"${{dataset.k{}}}\"\n", at + 1)).collect();
    let doubled: String = (1..60).map(|at| format!("  k{at}: \"${{dataset.k{0}}}${{dataset.k{0}}}\"\n", at - 1)).collect();
    let many_stages: String = (0..20_000).map(|at| format!("- {{id: s{at}}}\n")).collect();
    let many_keys: String = (0..19_000).map(|at| format!("k{at}: 1\n")).collect();
    let texts = [
        "[".repeat(500_000),
        "{a: ".repeat(200_000),
        "- ".repeat(400_000),
        "? ".repeat(400_000),
        "a: ".repeat(300_000),
        "&a ".repeat(300_000),
        "!!".repeat(300_000),
        "\"".repeat(300_000),
        "a:\n  ".repeat(100_000),
        format!("a: {}", "x".repeat(900_000)),
        format!("a: \"{}\"", "${a}".repeat(200_000)),
        format!("a: \"{}", "${".repeat(200_000)),
        format!("trainer: {{num_epochs: 1}}\ndataset:\n{nested_references}"),
        format!("trainer: {{num_epochs: 1}}\ndataset:\n  k0: xxxxxxxxxx\n{doubled}"),
        format!("trainer: {{num_epochs: 1}}\nstages:\n{many_stages}"),
        many_keys,
        format!("stages: [{}]", "{id: a, use: resise, needs: [a, b], with: {x: 1}},".repeat(400)),
    ];
    for text in texts {
        let start = Instant::now();
        let loaded = load(&text, &[]);
        assert!(loaded.pipeline.is_none());
        let shown = rendered(&loaded);
        let what: String = text.chars().take(40).collect();
        assert!(start.elapsed() < Duration::from_secs(3), "{what} took {:?}", start.elapsed());
        assert!(shown.len() < 100_000, "{what} is answered at length {}", shown.len());
    }
}

/// Whatever the text, it is read without a panic, and refused exactly when an error says why.
fn holds(text: &str, overrides: &[String]) {
    let loaded = spec::load_text("test.yml", text.to_owned(), overrides, &kinds::registry());
    let errors = loaded.diagnostics.iter().any(|problem| problem.is_error());
    assert_eq!(loaded.pipeline.is_none(), errors);
    let shown = rendered(&loaded);
    assert!(!shown.contains("this is a bug of the program"), "{text}");
    if let Some(pipeline) = loaded.pipeline {
        let again = spec::load_text("test.yml", spec::to_yaml(&pipeline.resolved), &[], &kinds::registry());
        assert_eq!(again.pipeline.map(|pipeline| pipeline.resolved), Some(pipeline.resolved), "{text}");
    }
}

/// Words that mean something, to be put anywhere.
const WORDS: [&str; 36] = [
    "${",
    "}",
    "{",
    "[",
    "]",
    ":",
    ": ",
    "- ",
    ",",
    "\n",
    "\n  ",
    "\"",
    "'",
    "#",
    "&a ",
    "*a",
    "<<: *a",
    "!!int ",
    "---\n",
    "|",
    "null",
    "~",
    "no",
    "-1",
    "1e9",
    "${seed}",
    "${dataset}",
    "$${",
    "é",
    "\t",
    "\r",
    "stages",
    "needs: ",
    "with: ",
    "resize",
    "99999999999999999999",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read(text in "\\PC{0,200}", value in "\\PC{0,40}") {
        holds(&text, &[]);
        holds(GOOD, &[value.clone(), format!("trainer.note={value}"), format!("stages.train.with.loss={value}"), format!("{value}=1")]);
    }

    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        holds(&String::from_utf8_lossy(&bytes), &[]);
    }

    #[test]
    fn any_change_to_a_file_is_read(changes in proptest::collection::vec((any::<proptest::sample::Index>(), 0_usize..6, 0..WORDS.len()), 1..6)) {
        let mut characters: Vec<char> = GOOD.chars().collect();
        for (index, removed, word) in changes {
            let at = index.index(characters.len() + 1);
            let end = (at + removed).min(characters.len());
            characters.splice(at..end, WORDS[word].chars());
        }
        holds(&characters.into_iter().collect::<String>(), &[]);
    }

    #[test]
    fn any_change_to_a_broken_file_is_read(file in any::<proptest::sample::Index>(), index in any::<proptest::sample::Index>(), word in 0..WORDS.len()) {
        let files = broken_files();
        let mut characters: Vec<char> = files[file.index(files.len())].1.chars().collect();
        let at = index.index(characters.len() + 1);
        characters.splice(at..at, WORDS[word].chars());
        holds(&characters.into_iter().collect::<String>(), &[]);
    }
}
