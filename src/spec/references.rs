//! Fills in `${dataset.image_size}`: in string leaves only, with the value's type where it is the whole string.
//! References to references are followed; cycles and explosions are errors.

use std::collections::{BTreeSet, HashMap};

use super::node::{Data, Entry, Node, quote};
use super::suggest;
use super::template::{self, Piece};
use crate::diagnostic::{Diagnostic, Source, Span};

/// The blocks that can be referred to.
const REFERABLE: [&str; 4] = ["name", "seed", "dataset", "trainer"];
/// How many references may lead to one value.
const LONGEST_CHAIN: usize = 16;
/// How many values all references together may expand to.
const MOST_FILLED_IN: usize = 200_000;

/// The dotted keys of the file that something reads.
pub(super) type Used = BTreeSet<String>;

/// The tree with all references filled in. What can't be is reported and marked broken.
pub(super) fn resolve(root: &Node, source: &Source, used: &mut Used, problems: &mut Vec<Diagnostic>) -> Node {
    let mut resolver = Resolver { root, source, used, problems, known: HashMap::new(), open: Vec::new(), left: MOST_FILLED_IN };
    resolver.node(root)
}

struct Resolver<'a> {
    root: &'a Node,
    source: &'a Source,
    used: &'a mut Used,
    problems: &'a mut Vec<Diagnostic>,
    /// References that were followed before, with the size of what they lead to.
    known: HashMap<String, (Node, usize)>,
    /// The references being followed.
    open: Vec<String>,
    left: usize,
}

impl<'a> Resolver<'a> {
    fn node(&mut self, node: &Node) -> Node {
        let data = match &node.data {
            Data::Text(text) if text.contains("${") => return self.text(node, text),
            Data::List(values) => Data::List(values.iter().map(|value| self.node(value)).collect()),
            Data::Map(entries) => Data::Map(
                entries
                    .iter()
                    .map(|Entry { key, key_span, value }| Entry {
                        key: key.clone(),
                        key_span: *key_span,
                        value: self.node(value),
                    })
                    .collect(),
            ),
            other => other.clone(),
        };
        Node { data, spot: node.spot }
    }

    fn text(&mut self, node: &Node, text: &str) -> Node {
        let broken = Node { data: Data::Broken, spot: node.spot };
        let pieces = match template::split(text) {
            Ok(pieces) => pieces,
            Err(message) => {
                let help = "close it: `${dataset.image_size}`; write `$${` for a literal `${`";
                self.problems.push(node.error(message).help(help));
                return broken;
            }
        };
        if let [Piece::Reference(path)] = pieces.as_slice() {
            return self.follow(path, node).used_at(node.spot.site());
        }
        let mut filled = String::new();
        for piece in pieces {
            let path = match piece {
                Piece::Text(text) => {
                    filled.push_str(text);
                    continue;
                }
                Piece::Reference(path) => path,
            };
            let value = self.follow(path, node);
            match &value.data {
                Data::Text(text) => filled.push_str(text),
                Data::Bool(_) | Data::Int(_) | Data::Float(_) => filled.push_str(&value.describe()),
                Data::Broken => return broken,
                Data::Null | Data::List(_) | Data::Map(_) => {
                    let message = format!("{} is {}, which can't be part of a text", quote(path), value.describe());
                    let problem = Diagnostic::error(self.place(path, node), message);
                    self.problems.push(problem.help("a reference to it must be the whole value"));
                    return broken;
                }
            }
        }
        Node { data: Data::Text(filled), spot: node.spot }
    }

    /// The value that a reference leads to.
    fn follow(&mut self, path: &str, node: &Node) -> Node {
        let broken = Node { data: Data::Broken, spot: node.spot };
        self.used.insert(path.to_owned());
        if !self.known.contains_key(path) {
            if let Some(first) = self.open.iter().position(|open| open == path) {
                let chain = self.open[first..].iter().map(String::as_str).chain([path]).collect::<Vec<_>>().join(" -> ");
                let problem = Diagnostic::error(self.place(path, node), format!("these references form a cycle: {chain}"));
                self.problems.push(problem.help("give one of them a plain value"));
                return broken;
            }
            let Some(target) = self.target(path) else {
                let problem = self.undefined(path, node);
                self.problems.push(problem);
                return broken;
            };
            if self.open.len() >= LONGEST_CHAIN {
                let message = format!("more than {LONGEST_CHAIN} references lead from one to the next");
                self.problems.push(Diagnostic::error(self.place(path, node), message).help("refer to the value itself"));
                return broken;
            }
            self.open.push(path.to_owned());
            let value = self.node(target);
            self.open.pop();
            let size = value.size();
            self.known.insert(path.to_owned(), (value, size));
        }
        let Some((value, size)) = self.known.get(path) else { return broken };
        if *size > self.left {
            if self.left > 0 {
                self.left = 0;
                let problem = Diagnostic::error(self.place(path, node), "the references of this file expand to too much");
                self.problems.push(problem.help("a reference repeats everything under its key: refer to single values"));
            }
            return broken;
        }
        self.left -= size;
        value.clone()
    }

    fn target(&self, path: &str) -> Option<&'a Node> {
        let referable = path.split('.').next().is_some_and(|first| REFERABLE.contains(&first));
        referable.then(|| self.root.lookup(path)).flatten()
    }

    fn undefined(&mut self, path: &str, node: &Node) -> Diagnostic {
        let place = self.place(path, node);
        if path.split('.').next() == Some("stages") {
            return Diagnostic::error(place, "a reference can't point into the stages")
                .help("put the value under `dataset` or `trainer`, and refer to it from both places");
        }
        let problem = Diagnostic::error(place, format!("the file has no key {}", quote(path)));
        let mut keys = Vec::new();
        collect(self.root.entries().iter().filter(|entry| REFERABLE.contains(&entry.key.as_str())), "", &mut keys);
        match nearest_key(path, &keys) {
            Some(key) => {
                // Its only reader misspelt it: no need to report that nothing reads it.
                self.used.insert(key.to_owned());
                problem.help(suggest::did_you_mean(path, &format!("${{{key}}}")))
            }
            None if is_environment(path) || path.starts_with("env:") || path.starts_with("oc.env") => problem
                .help("variables of the environment aren't read: write the value itself, or `--set` it on the command line"),
            None => problem.help(format!("a reference names a key under {}", REFERABLE.join(", "))),
        }
    }

    /// The place of one reference inside a text, or of the text where it can't be told.
    fn place(&self, path: &str, node: &Node) -> Span {
        let site = node.spot.site();
        let whole = self.source.slice(site);
        let found = whole.find("${").filter(|_| !whole.contains("$${")).and_then(|_| {
            let at = whole.match_indices("${").map(|(at, _)| at).find(|at| whole[at + 2..].trim_start().starts_with(path))?;
            Some((at, whole[at..].find('}')? + 1))
        });
        found.map_or(site, |(at, length)| Span { start: site.start + at, end: site.start + at + length, ..site })
    }
}

/// True for `HOME`.
fn is_environment(path: &str) -> bool {
    path.len() > 1 && path.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

fn collect<'a>(entries: impl Iterator<Item = &'a Entry>, above: &str, keys: &mut Vec<String>) {
    const ENOUGH: usize = 1_000;
    for entry in entries {
        if keys.len() >= ENOUGH {
            return;
        }
        let path = if above.is_empty() { entry.key.clone() } else { format!("{above}.{}", entry.key) };
        collect(entry.value.entries().iter(), &path, keys);
        keys.push(path);
    }
}

/// The key that was probably meant: the same one in another block, or the one with the nearest name.
fn nearest_key<'a>(path: &str, keys: &'a [String]) -> Option<&'a str> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or("").to_owned();
    let names = || keys.iter().map(String::as_str);
    names()
        .find(|key| key.strip_suffix(path).is_some_and(|before| before.ends_with('.')))
        .or_else(|| suggest::nearest(path, names()))
        .or_else(|| names().find(|key| last(key) == last(path)))
}
