//! The house's rules as tests: which way dependencies point, who may touch a device, licences, and that the map is true.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "house/circles.rs"]
mod circles;
#[path = "house/imports.rs"]
mod imports;
#[path = "house/tokens.rs"]
mod tokens;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use circles::{between_folders, circles, mutual_folders};
use imports::imports;

const CRATES: [&str; 6] =
    ["src", "stages/contract/src", "stages/images/src", "stages/kernels/src", "stages/metrics/src", "stages/training/src"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    assert!(!found.is_empty(), "{folder} holds no sources");
    let text = |path: PathBuf| (path.strip_prefix(root()).unwrap().display().to_string(), fs::read_to_string(&path).unwrap());
    found.into_iter().map(text).collect()
}

/// Lines of code (not of comments) that hold one of `words`.
fn mentions(sources: &[(String, String)], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources {
        for (at, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            if words.iter().any(|word| code.contains(word)) {
                found.push(format!("{path}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn the_engine_knows_no_stage_and_the_contract_no_engine() {
    let inner = ["src/engine", "src/graph", "src/spec", "src/run"].map(sources).concat();
    assert_eq!(mentions(&inner, &["pipeline_images", "pipeline_training", "burn::", "image::"]), [""; 0]);
    assert_eq!(mentions(&sources("src/engine"), &["crate::spec", "crate::cli", "crate::run"]), [""; 0]);
    assert_eq!(mentions(&sources("src/graph"), &["crate::engine", "crate::spec", "crate::cli"]), [""; 0]);
    let stages = ["stages/images/src", "stages/training/src"].map(sources).concat();
    assert_eq!(mentions(&stages, &["use pipeline::", "crossbeam", "rayon"]), [""; 0]);
    assert_eq!(mentions(&sources("stages/contract/src"), &["pipeline_images", "pipeline_training", "burn"]), [""; 0]);
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for root in CRATES {
        assert_eq!(circles(&imports(root, &sources(root))).concat(), "");
    }
}

#[test]
fn no_folder_imports_one_that_imports_it_back() {
    for root in CRATES {
        assert_eq!(mutual_folders(root, &imports(root, &sources(root))).concat(), "");
    }
}

/// As the map says: each imports only those after it.
#[test]
fn the_folders_of_the_library_depend_one_way() {
    const ORDER: [&str; 10] = ["cli", "schema", "window", "inference", "run", "plan", "spec", "diagnostic", "engine", "graph"];
    let place = |folder: &str| ORDER.iter().position(|name| *name == folder).unwrap_or_else(|| panic!("where is {folder}?"));
    let found = between_folders("src", &imports("src", &sources("src")));
    assert!(found.len() > 10);
    let back: Vec<String> = found.into_iter().filter(|((from, to), _)| place(from) > place(to)).map(|(_, why)| why).collect();
    assert_eq!(back, [""; 0]);
}

#[test]
fn only_these_parts_of_the_library_name_the_crates_of_stages_and_the_map_says_so() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let may = ["src/lib.rs", "src/plan", "src/window.rs", "src/inference"];
    let commands = ["devices", "run", "sample", "verify"];
    let paths = may.map(str::to_owned).into_iter().chain(commands.map(|command| format!("src/cli/{command}.rs")));
    let mut unnamed: BTreeSet<String> = paths.collect();
    let mut others = Vec::new();
    let paths = unnamed.clone();
    for line in mentions(&sources("src"), &["pipeline_images", "pipeline_training", "pipeline_kernels", "pipeline_metrics"]) {
        match paths.iter().find(|path| line.starts_with(*path)) {
            Some(path) => drop(unnamed.remove(path)),
            None => others.push(line),
        }
    }
    assert_eq!(others, [""; 0]);
    assert_eq!(unnamed, BTreeSet::new(), "these may name them and don't");
    let said = map.split("name the crates of stages").next().and_then(|before| before.rsplit("\n\n").next()).unwrap();
    for name in may.iter().chain(&commands) {
        assert!(
            said.contains(&format!("`{name}`")),
            "ARCHITECTURE.md doesn't say that `{name}` names the crates of stages: {said}"
        );
    }
}

#[test]
fn every_public_trait_of_the_contract_has_an_example() {
    let mut traits = 0;
    for (path, text) in sources("stages/contract/src") {
        for (at, _) in text.match_indices("\npub trait ") {
            let documentation = text[..at].rsplit("\n\n").next().unwrap();
            assert!(documentation.contains("/// ```"), "{path} has a trait without an example: {documentation}");
            traits += 1;
        }
    }
    assert!(traits >= 9, "only {traits} were found");
}

#[test]
fn only_the_training_crate_touches_a_device_and_only_one_module_names_them() {
    let outside = ["src", "stages/contract/src", "stages/images/src", "stages/metrics/src"].map(sources).concat();
    assert_eq!(mentions(&outside, &["burn"]), [""; 0]);
    let others: Vec<_> = sources("stages/training/src").into_iter().filter(|(path, _)| !path.contains("src/device")).collect();
    assert_eq!(mentions(&others, &["is_cpu"]), [""; 0], "a device has a platform");
    let inside: Vec<_> = sources("stages/training/src").into_iter().filter(|(path, _)| !path.contains("src/device")).collect();
    let tested = |(path, text): (String, String)| (path, text.split("#[cfg(test)]").next().unwrap_or("").to_owned());
    let inside: Vec<_> = inside.into_iter().map(tested).collect();
    assert_eq!(
        mentions(&inside, &["Device::flex", "Device::wgpu", "Device::vulkan", "Device::metal", "Device::cuda"]),
        [""; 0]
    );
}

#[test]
fn random_choices_never_come_from_the_clock_or_the_machine() {
    let mut stages =
        ["stages/contract/src", "stages/images/src", "stages/metrics/src", "stages/training/src"].map(sources).concat();
    // Times of files, by which the cache tells what has changed and what wasn't used for long. It draws nothing.
    stages.retain(|(path, _)| !path.starts_with("stages/images/src/cache/"));
    assert_eq!(mentions(&stages, &["thread_rng", "rand::rng()", "from_os_rng", "SystemTime", "ThreadId"]), [""; 0]);
}

#[test]
fn no_unsafe_code_but_in_named_files() {
    let named = [
        "stages/contract/src/memory.rs",
        "stages/kernels/src/cells.rs",
        "stages/kernels/src/convolution/correlate.rs",
        "stages/kernels/src/convolution/run.rs",
        "stages/kernels/src/convolution/weights.rs",
        "stages/kernels/src/convolution/x86.rs",
        "stages/kernels/src/dispatch.rs",
        "stages/training/src/device/adapters.rs",
    ];
    let mut all = CRATES.map(sources).concat();
    all.retain(|(path, _)| !named.contains(&path.as_str()));
    assert_eq!(mentions(&all, &["unsafe {", "unsafe fn", "unsafe impl"]), [""; 0]);
}

/// Tuned kernels gave wrong gradients (ARCHITECTURE.md, "Nothing is tuned"), and burn's default features include tuning.
#[test]
fn no_feature_switches_on_tuning() {
    for manifest in ["Cargo.toml", "stages/kernels/Cargo.toml", "stages/training/Cargo.toml", "fuzz/Cargo.toml"] {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(!line.contains("autotune"), "{manifest}: {line}");
            let depends = line.starts_with("burn") && line.contains("version");
            assert!(!depends || line.contains("default-features = false"), "{manifest} takes the default features: {line}");
        }
    }
}

#[test]
fn every_dependency_has_a_licence_that_allows_use() {
    // `tree` asks only for what is built on this machine, which has been downloaded: the test needs no network.
    let arguments =
        ["tree", "--workspace", "--locked", "--offline", "--edges=normal,build,dev", "--prefix=none", "--format={p}|{l}"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).unwrap();
    let packages: BTreeSet<&str> =
        listed.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.is_empty()).collect();
    let allowed: BTreeSet<&str> = [
        "MIT",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
        "0BSD",
        "CC0-1.0",
        "MIT-0",
        "Unlicense",
        "Unicode-3.0",
        "MPL-2.0",
        "BSL-1.0",
        "CDLA-Permissive-2.0",
        "NCSA",
    ]
    .into();
    assert!(packages.len() > 100);
    let mut refused = Vec::new();
    for package in packages {
        let (package, licence) = package.split_once('|').unwrap();
        // "A OR B AND C": good enough read as alternatives, each of whose parts must be allowed.
        let plain = licence.replace(['(', ')'], "").replace('/', " OR ");
        let good = plain.split(" OR ").any(|option| option.split(" AND ").all(|part| allowed.contains(part.trim())));
        if !good {
            refused.push(format!("{package}: {licence:?}"));
        }
    }
    assert_eq!(refused, [""; 0]);
}

#[test]
fn every_dependency_is_the_registrys_with_a_checksum() {
    for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
        let text = fs::read_to_string(root().join(lock)).unwrap();
        let packages: Vec<&str> = text.split("[[package]]").skip(1).collect();
        assert!(packages.len() > 100, "{lock}");
        for package in packages {
            let line = |key: &str| package.lines().find(|line| line.starts_with(key));
            let name = line("name = ").unwrap();
            match line("source = ") {
                Some(source) => {
                    assert_eq!(source, r#"source = "registry+https://github.com/rust-lang/crates.io-index""#, "{lock}: {name}");
                    assert!(line("checksum = ").is_some(), "{lock}: {name}");
                }
                // Without a source it lies in this repository.
                None => assert!(name.contains("\"pipeline"), "{lock}: {name}"),
            }
        }
    }
}

#[test]
fn the_map_names_every_folder_and_no_folder_that_is_gone() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for folder in [
        "src/spec",
        "src/graph",
        "src/engine",
        "src/plan",
        "src/run",
        "src/cli",
        "stages/contract",
        "stages/images",
        "stages/kernels",
        "stages/metrics",
        "stages/training",
    ] {
        assert!(map.contains(&format!("`{folder}`")), "ARCHITECTURE.md has no paragraph on `{folder}`");
    }
    let is_path =
        |word: &&str| ["src/", "stages/", "tests/", "benches/", "docs/", ".ci/"].iter().any(|folder| word.starts_with(folder));
    for word in map.split('`').skip(1).step_by(2).filter(is_path) {
        assert!(root().join(word).exists(), "ARCHITECTURE.md names `{word}`, which is gone");
    }
}

#[test]
fn stages_and_facts_are_found_by_what_they_are_not_by_text() {
    let all = ["src", "stages/contract/src", "stages/images/src", "stages/training/src"].map(sources).concat();
    let tested = |(path, text): (String, String)| (path, text.split("#[cfg(test)]").next().unwrap_or("").to_owned());
    let all: Vec<_> = all.into_iter().map(tested).collect();
    assert_eq!(mentions(&all, &["kind.name ==", "kind.name !=", "name() == \""]), [""; 0]);
    assert_eq!(mentions(&all, &["integer(\"", "facts.set(\"", "facts.get(\""]), [""; 0]);
}
