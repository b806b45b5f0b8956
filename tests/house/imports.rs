//! Which file of a crate imports which, read off `use` items and paths in its code.
//!
//! Re-exports are transparent: `use crate::engine::run` is an import of the file that defines `run`. So `mod x;` and
//! `pub use x::...` of a parent import nothing, but its code does. What only tests compile doesn't count.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::{tokens, without_tests};

/// Imports between files: (importer, imported) and the name by which it does.
pub type Imports = BTreeMap<(String, String), String>;

/// A module's path from the crate's root.
type Path = Vec<String>;

/// One file, as far as others see it.
#[derive(Default)]
struct Module {
    file: String,
    uses: Vec<Use>,
    /// Paths in code, outside `use`.
    paths: BTreeSet<Path>,
    words: BTreeSet<String>,
    modules_of_tests: BTreeSet<String>,
}

/// One name that a `use` brings in.
struct Use {
    path: Path,
    name: String,
    public: bool,
}

/// What a path leads to.
enum Target {
    /// An item, by its name, of a file.
    Item(String, String),
    Module(Path),
}

/// All imports between the files of a crate, given as paths and texts; `root` is the folder of its `lib.rs`.
pub fn imports(root: &str, files: &[(String, String)]) -> Imports {
    let krate = Crate::new(root, files);
    let mut imports = Imports::new();
    for (at, module) in &krate.modules {
        let used = module.uses.iter().filter(|used| !used.public || module.words.contains(&used.name));
        for path in used.map(|used| &used.path).chain(&module.paths) {
            if let Some(Target::Item(name, file)) = krate.resolve(at, path, 0)
                && file != module.file
            {
                imports.entry((module.file.clone(), file)).or_insert(name);
            }
        }
    }
    imports
}

struct Crate {
    modules: BTreeMap<Path, Module>,
}

impl Crate {
    fn new(root: &str, files: &[(String, String)]) -> Self {
        let mut modules = BTreeMap::new();
        for (file, text) in files {
            let inside = file.strip_prefix(root).and_then(|file| file.strip_suffix(".rs")).unwrap_or_default();
            let mut path: Path = inside.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
            path.pop_if(|last| ["lib", "mod"].contains(&last.as_str()));
            modules.insert(path, Module::read(file, text));
        }
        let of_tests: Vec<Path> = modules
            .iter()
            .flat_map(|(path, module)| module.modules_of_tests.iter().map(move |name| child(path, name)))
            .collect();
        modules.retain(|path, _| !of_tests.iter().any(|test| path.starts_with(test)));
        Self { modules }
    }

    /// Follows a path from a module. `None`: it leads out of the crate.
    fn resolve(&self, from: &Path, path: &[String], depth: usize) -> Option<Target> {
        let (mut at, mut rest) = (from.clone(), path);
        match path.first()?.as_str() {
            "crate" => (at, rest) = (Path::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                while let Some(("super", after)) = rest.split_first().map(|(first, after)| (first.as_str(), after)) {
                    at.pop()?;
                    rest = after;
                }
            }
            first if self.modules.contains_key(&child(from, first)) || self.binding(from, first).is_some() => {}
            _ => return None,
        }
        // A name that imports itself by way of another module would go round for ever.
        if depth > 8 {
            return None;
        }
        while let Some((name, after)) = rest.split_first() {
            let (inside, binding) = (child(&at, name), self.binding(&at, name));
            let is_module = self.modules.contains_key(&inside);
            match binding.filter(|_| !is_module || after.is_empty()) {
                Some(binding) if binding.path != path || at != *from => match self.resolve(&at, &binding.path, depth + 1)? {
                    Target::Module(module) => at = module,
                    item => return Some(item),
                },
                _ if is_module => at = inside,
                // An item of the module: what follows is inside it.
                _ => return self.modules.get(&at).map(|module| Target::Item(name.clone(), module.file.clone())),
            }
            rest = after;
        }
        Some(Target::Module(at))
    }

    fn binding(&self, module: &Path, name: &str) -> Option<&Use> {
        self.modules.get(module)?.uses.iter().find(|used| used.name == name)
    }
}

fn child(module: &[String], name: &str) -> Path {
    [module, &[name.to_owned()]].concat()
}

impl Module {
    fn read(file: &str, text: &str) -> Self {
        let (code, tests) = without_tests(tokens(text));
        let mut module = Self { file: file.to_owned(), ..Self::default() };
        let declared = tests.windows(3).filter(|three| three[0] == "mod" && three[2] == ";");
        module.modules_of_tests = declared.map(|three| three[1].clone()).collect();
        let mut i = 0;
        while i < code.len() {
            match code[i].as_str() {
                // `use<'a>` is no import.
                "use" if code.get(i + 1).is_some_and(|next| next != "<") => {
                    let public = i > 0 && ["pub", ")"].contains(&code[i - 1].as_str());
                    i += 1;
                    use_tree(&code, &mut i, &[], public, &mut module.uses);
                }
                word if word.starts_with(|c: char| c == '_' || c.is_alphabetic()) => {
                    let begin = i;
                    let mut path = vec![word.to_owned()];
                    while code.get(i + 1).is_some_and(|next| next == "::") && code.get(i + 2).is_some_and(|next| next != "<") {
                        path.push(code[i + 2].clone());
                        i += 2;
                    }
                    let before = |word: &str| begin > 0 && code[begin - 1] == word;
                    // `<T as Trait>::a::b` continues a type, and `pub(in a::b)` says who may see.
                    if path.len() > 1 && !before("::") && !(before("in") && begin > 1 && code[begin - 2] == "(") {
                        module.paths.insert(path.clone());
                    }
                    module.words.extend((!before("mod")).then(|| path.swap_remove(0)));
                    i += 1;
                }
                _ => i += 1,
            }
        }
        let blind = module.uses.iter().any(|used| used.public && used.name == "*");
        assert!(!blind, "{file} re-exports all of a module: name the items, so that one can see who defines them");
        module
    }
}

/// Reads one tree of a `use`, such as `a::{b, c as d, e::*}`, and leaves `i` behind it.
fn use_tree(code: &[String], i: &mut usize, before: &[String], public: bool, found: &mut Vec<Use>) {
    let mut path = before.to_vec();
    while let Some(token) = code.get(*i) {
        *i += 1;
        match token.as_str() {
            "::" => {}
            "{" => {
                while code.get(*i).is_some_and(|token| token != "}") {
                    use_tree(code, i, &path, public, found);
                    *i += usize::from(code.get(*i).is_some_and(|token| token == ","));
                }
                *i += 1;
                return;
            }
            "as" => {
                let name = code.get(*i).cloned().unwrap_or_default();
                *i += 1;
                found.push(Use { path, name, public });
                return;
            }
            "," | "}" | ";" => {
                *i -= 1;
                break;
            }
            word => path.push(word.to_owned()),
        }
    }
    path.pop_if(|last| last == "self" && !before.is_empty());
    let name = path.last().cloned().unwrap_or_default();
    found.push(Use { path, name, public });
}

#[test]
fn imports_lead_to_the_file_that_defines_the_item() {
    let files = [
        ("src/lib.rs", "mod a; mod b; #[cfg(test)] mod help; pub use b::{B as Renamed, deep::D};"),
        (
            "src/a.rs",
            "use crate::{Renamed, b::{self, C}}; fn f() { b::deep::g(); Vec::new() } #[cfg(test)] mod t { use crate::help::H; }",
        ),
        ("src/b.rs", "pub mod deep; pub struct B; pub struct C;"),
        ("src/b/deep.rs", "use super::super::a::{*}; pub(in crate::b) struct D; fn g() -> super::B { std::f::<u8>() }"),
        ("src/help.rs", "use crate::a::A;"),
    ];
    let found = imports("src", &files.map(|(file, text)| (file.to_owned(), text.to_owned())));
    let found: Vec<String> = found.iter().map(|((from, to), name)| format!("{from} {name} {to}")).collect();
    let expected = ["src/a.rs B src/b.rs", "src/a.rs g src/b/deep.rs", "src/b/deep.rs * src/a.rs", "src/b/deep.rs B src/b.rs"];
    assert_eq!(found, expected);
}
