//! Circles of imports, each named file by file; and folders that import each other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::imports::Imports;

/// For every file that imports itself by way of others, the shortest way round, as text: one line an import. Each circle once.
pub fn circles(imports: &Imports) -> Vec<String> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in imports.keys() {
        next.entry(from).or_default().push(to);
    }
    let found: BTreeSet<Vec<&str>> = next.keys().filter_map(|file| circle(&next, file)).collect();
    found.iter().map(|circle| words(circle, imports)).collect()
}

/// The shortest way from a file back to itself, begun at its first file in the order of names.
fn circle<'a>(next: &BTreeMap<&'a str, Vec<&'a str>>, file: &'a str) -> Option<Vec<&'a str>> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([file]);
    while let Some(at) = queue.pop_front() {
        for &to in next.get(at).into_iter().flatten() {
            if to == file {
                let mut way: Vec<&str> = std::iter::successors(Some(at), |at| before.get(at).copied()).collect();
                way.reverse();
                let first = way.iter().enumerate().min_by_key(|(_, file)| **file).map_or(0, |(at, _)| at);
                way.rotate_left(first);
                return Some(way);
            }
            if !before.contains_key(to) {
                before.insert(to, at);
                queue.push_back(to);
            }
        }
    }
    None
}

fn words(circle: &[&str], imports: &Imports) -> String {
    let line = |(from, to): (&&str, &&str)| {
        let name = imports.get(&((*from).to_owned(), (*to).to_owned())).map_or("", String::as_str);
        format!("\n  {from} imports `{name}` of {to}")
    };
    let lines: String = circle.iter().zip(circle.iter().cycle().skip(1)).map(line).collect();
    format!("\n{} import each other in a circle:{lines}", circle.len())
}

/// The folders right under `root` that import each other, both ways as text. A file there counts as the folder of its name.
pub fn mutual_folders(root: &str, imports: &Imports) -> Vec<String> {
    let folders = between_folders(root, imports);
    let both = folders.iter().filter_map(|((from, to), there)| {
        let back = folders.get(&(to.clone(), from.clone())).filter(|_| from < to)?;
        Some(format!("\n{from} and {to} import each other:\n  {there}\n  {back}"))
    });
    both.collect()
}

/// Which folder right under `root` imports which, and one import by which it does.
pub fn between_folders(root: &str, imports: &Imports) -> BTreeMap<(String, String), String> {
    let folder = |file: &str| {
        let inside = file.strip_prefix(root).unwrap_or(file).trim_start_matches('/');
        inside.split(['/', '.']).next().unwrap_or_default().to_owned()
    };
    let mut found = BTreeMap::new();
    for ((from, to), name) in imports {
        if folder(from) != folder(to) {
            found.entry((folder(from), folder(to))).or_insert(format!("{from} imports `{name}` of {to}"));
        }
    }
    found
}

#[cfg(test)]
fn read(files: &[(&str, &str)]) -> Imports {
    let files: Vec<_> = files.iter().map(|&(file, text)| (file.to_owned(), text.to_owned())).collect();
    super::imports::imports("src", &files)
}

#[test]
fn a_circle_is_named_file_by_file_also_through_a_re_export() {
    let found = circles(&read(&[
        ("src/lib.rs", "mod a; mod b; mod c; pub use b::B;"),
        ("src/a.rs", "use crate::B; pub struct A;"),
        ("src/b.rs", "pub struct B; fn f() { crate::c::g() }"),
        ("src/c.rs", "use crate::a::A; pub fn g() {}"),
    ]));
    let lines = [
        "3 import each other in a circle:",
        "  src/a.rs imports `B` of src/b.rs",
        "  src/b.rs imports `g` of src/c.rs",
        "  src/c.rs imports `A` of src/a.rs",
    ];
    assert_eq!(found, [format!("\n{}", lines.join("\n"))]);
}

#[test]
fn a_child_and_its_parent_are_a_circle_only_where_the_parents_code_uses_the_child() {
    let child = ("src/p/c.rs", "use super::P; pub fn run() {}");
    let re_exports = ("src/p/mod.rs", "mod c; pub use c::run; pub struct P;");
    let calls = ("src/p/mod.rs", "mod c; pub struct P; fn f() { c::run() }");
    let calls_what_it_re_exports = ("src/p/mod.rs", "mod c; pub use c::run; pub struct P; fn f() { run() }");
    let found = [re_exports, calls, calls_what_it_re_exports].map(|parent| circles(&read(&[parent, child])).len());
    assert_eq!(found, [0, 1, 1]);
}

#[test]
fn folders_that_import_each_other_are_found_without_a_circle_of_files() {
    let imports = read(&[
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a/mod.rs", "pub mod x; pub mod y;"),
        ("src/a/x.rs", "use crate::b::B;"),
        ("src/a/y.rs", "pub struct Y;"),
        ("src/b.rs", "mod z; pub struct B;"),
        ("src/b/z.rs", "use crate::a::y::Y;"),
    ]);
    assert_eq!(circles(&imports), [""; 0]);
    let expected = "\na and b import each other:\n  src/a/x.rs imports `B` of src/b.rs\n  src/b/z.rs imports `Y` of src/a/y.rs";
    assert_eq!(mutual_folders("src", &imports), [expected]);
}
