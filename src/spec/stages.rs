//! Reads the entries of `stages:`: their keys, kinds, options. `needs` and `wiring` connect them.

use std::collections::HashMap;

use pipeline_contract::{OptionSpec, OptionType, Registry, StageKind};
use serde_json::{Value, json};

use super::node::{Data, Node, Spot, quote};
use super::options::{Checker, Owner, Places};
use super::references::Used;
use super::suggest;
use crate::diagnostic::Diagnostic;
use crate::graph::Bound;

/// The keys of a stage.
pub(crate) const STAGE_KEYS: [&str; 6] = ["id", "use", "needs", "with", "workers", "bound"];
/// Maximum stages of a file: checking them against each other takes quadratic time.
const MOST_STAGES: usize = 500;

/// The type of a stage's `workers`.
pub(crate) fn workers_type() -> OptionType {
    OptionType::Integer { min: 0, max: 1024 }
}

/// The type of a stage's `bound`.
pub(crate) fn bound_type() -> OptionType {
    let default = Bound::default();
    // An edge's slots are allocated when it is opened.
    let items = || OptionType::Integer { min: 1, max: 1024 };
    OptionType::AnyOf(vec![
        items(),
        OptionType::Group(vec![
            OptionSpec::new("items", items(), default.items, "number of items that may wait before the stage"),
            OptionSpec::new("bytes", OptionType::Bytes, default.bytes, "memory that waiting items may hold"),
        ]),
    ])
}

/// One entry of `stages:`, as far as it could be read.
pub(super) struct Entry {
    /// Its id, if it has a valid one that no stage above has.
    pub(super) id: Option<String>,
    pub(super) id_spot: Spot,
    pub(super) kind: Option<StageKind>,
    pub(super) use_spot: Spot,
    /// The value of `needs`, if it is given.
    pub(super) needs: Option<Node>,
    /// The options with defaults, if all of them fit.
    pub(super) options: Option<Value>,
    pub(super) places: Places,
    pub(super) workers: Option<usize>,
    pub(super) bound: Option<Bound>,
}

impl Entry {
    /// True when its place in the graph can be checked: its options may be wrong nevertheless.
    pub(super) fn is_sound(&self) -> bool {
        self.id.is_some() && self.kind.is_some()
    }

    /// Where the value of an option stands: its own place, that of the group around it, or that of the kind's name.
    pub(super) fn place(&self, option: &str) -> Spot {
        let mut path = option;
        loop {
            if let Some(spot) = self.places.get(path) {
                return *spot;
            }
            match path.rsplit_once('.') {
                Some((above, _)) => path = above,
                None => return self.use_spot,
            }
        }
    }
}

/// Reads all stages of a file.
pub(super) fn read(root: &Node, registry: &Registry, used: &mut Used, problems: &mut Vec<Diagnostic>) -> Vec<Entry> {
    let help = "stages: [{id: files, use: fives, with: {root: data/FIVES}}, ...]; `pipeline stages` lists the kinds";
    let Some(entry) = root.entry("stages") else {
        problems.push(Diagnostic::error(None, "the file has no `stages`").help(help));
        return Vec::new();
    };
    let stages = match &entry.value.data {
        Data::List(stages) if !stages.is_empty() => stages,
        Data::Broken => return Vec::new(),
        Data::List(_) | Data::Null => {
            problems.push(Diagnostic::error(entry.key_span, "`stages` is empty").help(help));
            return Vec::new();
        }
        _ => {
            problems.push(entry.value.error(format!("`stages` must be a list, found {}", entry.value.describe())).help(help));
            return Vec::new();
        }
    };
    if stages.len() > MOST_STAGES {
        problems.push(entry.value.error(format!("more than {MOST_STAGES} stages")));
        return Vec::new();
    }
    let mut ids = HashMap::new();
    stages.iter().map(|stage| Reader { root, registry, used, problems }.stage(stage, &mut ids)).collect()
}

struct Reader<'a> {
    root: &'a Node,
    registry: &'a Registry,
    used: &'a mut Used,
    problems: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn stage(&mut self, stage: &Node, ids: &mut HashMap<String, Spot>) -> Entry {
        if !matches!(stage.data, Data::Map(_) | Data::Broken) {
            let problem = stage.error(format!("a stage must be a map, found {}", stage.describe()));
            self.problems.push(problem.help("- {id: resize, use: resize, with: {size: 512}}"));
        }
        let readable = matches!(stage.data, Data::Map(_));
        let id = readable.then(|| self.id(stage, ids)).flatten();
        let text = |key| match stage.get(key).map(|node| &node.data) {
            Some(Data::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        let shown = text("id").or(text("use")).unwrap_or("stage");
        let kind = readable.then(|| self.kind(stage, shown)).flatten();
        let id_spot = stage.get("id").map_or(stage.spot, |id| id.spot);
        let use_spot = stage.get("use").map_or(id_spot, |kind| kind.spot);
        self.unknown_keys(stage, kind.as_ref());
        let Self { root, used, problems, .. } = self;
        let mut checker = Checker { root, owner: Owner::Stage(shown), problems, used, places: Places::new() };
        let options = kind.as_ref().and_then(|kind| options(&mut checker, kind, stage.get("with"), use_spot));
        let given = |key| stage.get(key).filter(|node| !matches!(node.data, Data::Null));
        let workers = given("workers").and_then(|node| checker.value(&workers_type(), node, "workers"));
        let bound = given("bound").and_then(|node| checker.value(&bound_type(), node, "bound"));
        let places = checker.places;
        Entry {
            id,
            id_spot,
            kind,
            use_spot,
            needs: stage.get("needs").cloned(),
            options,
            places,
            workers: workers.and_then(|workers| workers.as_u64()).and_then(|workers| usize::try_from(workers).ok()),
            bound: bound.and_then(|bound| to_bound(&bound)),
        }
    }

    fn id(&mut self, stage: &Node, ids: &mut HashMap<String, Spot>) -> Option<String> {
        let node = match stage.get("id") {
            Some(node) if node.is_broken() => return None,
            Some(node) => node,
            None => {
                let help = match stage.get("use").map(|kind| &kind.data) {
                    Some(Data::Text(kind)) => format!("add `id: {kind}`, or another name"),
                    _ => "add `id: NAME`".into(),
                };
                self.problems.push(stage.error("this stage has no `id`").help(help));
                return None;
            }
        };
        let valid = |id: &str| {
            !id.is_empty() && id.len() <= 100 && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        };
        let Data::Text(id) = &node.data else {
            self.problems.push(
                node.error(format!("an id must be a name, found {}", node.describe()))
                    .help("letters, digits, `_` and `-`, in quotes if there is no letter"),
            );
            return None;
        };
        if !valid(id) {
            self.problems
                .push(node.error(format!("{} can't be an id", quote(id))).help("letters, digits, `_` and `-`, at most 100"));
            return None;
        }
        if let Some(first) = ids.get(id) {
            let problem = node.error(format!("two stages have the id {}", quote(id)));
            self.problems.push(problem.related(Some(first.span), "the first one").help("give this one another id"));
            return None;
        }
        ids.insert(id.clone(), node.spot);
        Some(id.clone())
    }

    fn kind(&mut self, stage: &Node, shown: &str) -> Option<StageKind> {
        let all: Vec<&str> = self.registry.kinds().map(|kind| kind.name).collect();
        let node = match stage.get("use") {
            Some(node) if node.is_broken() => return None,
            Some(node) => node,
            None => {
                let problem = stage.error(format!("{} doesn't say which kind of stage it is", quote(shown)));
                self.problems.push(problem.help("add `use: KIND`; `pipeline stages` lists the kinds"));
                return None;
            }
        };
        let Data::Text(name) = &node.data else {
            self.problems.push(node.error(format!("`use` must be the name of a kind, found {}", node.describe())));
            return None;
        };
        let kind = self.registry.get(name);
        if kind.is_none() {
            let problem = node.error(format!("there is no stage kind {}", quote(name)));
            self.problems.push(problem.help(suggest::help(name, &all, "the kinds are")));
        }
        kind.cloned()
    }

    fn unknown_keys(&mut self, stage: &Node, kind: Option<&StageKind>) {
        for entry in stage.entries().iter().filter(|entry| !STAGE_KEYS.contains(&entry.key.as_str())) {
            let is_option = kind.is_some_and(|kind| kind.options.iter().any(|option| option.name == entry.key));
            let help = if is_option {
                format!("options go under `with`: `with: {{{}: ...}}`", entry.key)
            } else {
                suggest::help(&entry.key, &STAGE_KEYS, "its keys are")
            };
            self.problems
                .push(Diagnostic::error(entry.key_span, format!("a stage has no key {}", quote(&entry.key))).help(help));
        }
    }
}

fn options(checker: &mut Checker<'_>, kind: &StageKind, with: Option<&Node>, use_spot: Spot) -> Option<Value> {
    let given = match with.map(|node| (&node.data, node)) {
        None | Some((Data::Null, _)) => &[],
        Some((Data::Map(entries), _)) => entries.as_slice(),
        Some((Data::Broken, _)) => return None,
        Some((_, node)) => {
            checker.problems.push(node.error(format!("`with` must be a map of options, found {}", node.describe())));
            return None;
        }
    };
    checker.group(&kind.options, given, use_spot.site(), "").map(Value::Object)
}

fn to_bound(value: &Value) -> Option<Bound> {
    let bound = match value {
        Value::Object(map) => map.clone(),
        items => json!({"items": items, "bytes": Bound::default().bytes}).as_object()?.clone(),
    };
    let number = |key: &str| bound.get(key).and_then(Value::as_u64);
    Some(Bound { items: usize::try_from(number("items")?).ok()?, bytes: number("bytes")? })
}
