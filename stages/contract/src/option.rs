//! The options of a stage kind: their types, defaults and docs. Validation, schema and help come from them.

use serde_json::Value;

/// The type of an option's value in the file.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionType {
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds (both included).
    Integer {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A number within bounds (both included).
    Number {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// Any text.
    Text,
    /// A path; relative ones count from the working directory.
    Path,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An amount of memory: bytes as a whole number, or text such as `16GiB`, `512MiB`. Stages see bytes.
    Bytes,
    /// A list of at least `min` and at most `max` values of one type.
    List {
        /// The type of each value.
        of: Box<OptionType>,
        /// Fewest values.
        min: usize,
        /// Most values.
        max: usize,
    },
    /// Values of one type under names that the file chooses: `{artery: 1, vein: 2}`. Stages see them in the file's order.
    Map {
        /// The type of each value.
        of: Box<OptionType>,
        /// Fewest entries.
        min: usize,
        /// Most entries.
        max: usize,
    },
    /// A value of any of these types; the first that fits is taken.
    AnyOf(Vec<OptionType>),
    /// Exactly one of several named groups of options: `adamw: {lr: 0.001}`, or just `adamw` for its defaults.
    /// Stages see `{"adamw": {...}}` with the defaults filled in.
    Variant(Vec<Variant>),
    /// A group of options with fixed names.
    Group(Vec<OptionSpec>),
}

impl OptionType {
    /// A whole number of at least `min`.
    pub fn at_least(min: i64) -> Self {
        Self::Integer { min, max: i64::MAX }
    }

    /// A list of one or more values.
    pub fn list(of: OptionType) -> Self {
        Self::List { of: Box::new(of), min: 1, max: usize::MAX }
    }

    /// A share from 0 to 1.
    pub fn share() -> Self {
        Self::Number { min: 0.0, max: 1.0 }
    }

    /// The type in words, for errors and help: "a whole number from 1 to 8".
    pub fn describe(&self) -> String {
        match self {
            Self::Bool => "true or false".into(),
            Self::Integer { min, max } => match (*min, *max) {
                (i64::MIN, i64::MAX) => "a whole number".into(),
                (min, i64::MAX) => format!("a whole number of at least {min}"),
                (i64::MIN, max) => format!("a whole number of at most {max}"),
                (min, max) => format!("a whole number from {min} to {max}"),
            },
            // JSON has no infinity: the largest number stands for an open end.
            Self::Number { min, max } => match (*min > f64::MIN, *max < f64::MAX) {
                (true, true) => format!("a number from {min} to {max}"),
                (true, false) => format!("a number of at least {min}"),
                (false, true) => format!("a number of at most {max}"),
                (false, false) => "a number".into(),
            },
            Self::Text => "text".into(),
            Self::Path => "a path".into(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Bytes => "an amount of memory such as 512MiB or 16GiB".into(),
            Self::List { of, min, max } => match (*min, *max) {
                (min, max) if min == max => format!("a list of {min} values, each {}", of.describe()),
                (min, usize::MAX) if min <= 1 => format!("a list of values, each {}", of.describe()),
                (min, usize::MAX) => format!("a list of at least {min} values, each {}", of.describe()),
                (min, max) => format!("a list of {min} to {max} values, each {}", of.describe()),
            },
            Self::Map { of, min, max } => match (*min, *max) {
                (min, usize::MAX) if min <= 1 => format!("a map of names, each with {}", of.describe()),
                (min, usize::MAX) => format!("a map of at least {min} names, each with {}", of.describe()),
                (min, max) => format!("a map of {min} to {max} names, each with {}", of.describe()),
            },
            Self::AnyOf(types) => types.iter().map(Self::describe).collect::<Vec<_>>().join(", or "),
            Self::Variant(variants) => {
                format!("one of {}", variants.iter().map(|variant| variant.name).collect::<Vec<_>>().join(", "))
            }
            Self::Group(options) => {
                format!("options {}", options.iter().map(|option| option.name).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// One named group of options of an [`OptionType::Variant`].
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// The name, the only key of the mapping in the file.
    pub name: &'static str,
    /// What it is, in one line.
    pub doc: &'static str,
    /// Its options.
    pub options: Vec<OptionSpec>,
}

impl Variant {
    /// A variant without options; add them with [`Variant::option`].
    pub fn new(name: &'static str, doc: &'static str) -> Self {
        Self { name, doc, options: Vec::new() }
    }

    /// Adds an option.
    #[must_use]
    pub fn option(mut self, option: OptionSpec) -> Self {
        self.options.push(option);
        self
    }
}

/// What an option is when the file doesn't say.
#[derive(Debug, Clone, PartialEq)]
pub enum DefaultValue {
    /// None: the file must give it.
    Required,
    /// This value (in the form that stages see).
    Value(Value),
    /// The value of a key elsewhere in the file (`trainer.device`) if it is there, otherwise this value.
    Key(&'static str, Value),
    /// Nothing: the stage sees no such key, or `null`.
    Absent,
}

/// What a changed option means for a run that resumes from a saved state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnResume {
    /// The result is that of the undisturbed run.
    Harmless,
    /// A limit (0: none): a higher one changes nothing; a lower one may be reached, and then the result changes.
    Limit,
    /// The result changes.
    #[default]
    Alters,
    /// The result changes; the saved state doesn't fit if the option was added or removed.
    Choice,
    /// The saved state doesn't fit any more.
    Impossible,
}

/// One option of a kind: name, type, default, one-line doc.
#[derive(Debug, Clone, PartialEq)]
pub struct OptionSpec {
    /// The key in the file.
    pub name: &'static str,
    /// What it does, in one line, with the unit.
    pub doc: &'static str,
    /// The type of its value.
    pub ty: OptionType,
    /// What it is when the file doesn't say.
    pub default: DefaultValue,
    /// What it means to change it before a run resumes.
    pub on_resume: OnResume,
}

impl OptionSpec {
    /// Says that a run may resume with another value and get the same result.
    #[must_use]
    pub fn harmless(mut self) -> Self {
        self.on_resume = OnResume::Harmless;
        self
    }

    /// Says that it is a limit (0: none), and that reaching it changes how a run works.
    #[must_use]
    pub fn limit(mut self) -> Self {
        self.on_resume = OnResume::Limit;
        self
    }

    /// Says that a run can resume with another value, but not if it appears or disappears: one of several to choose from.
    #[must_use]
    pub fn choice(mut self) -> Self {
        self.on_resume = OnResume::Choice;
        self
    }

    /// Says that a run can't resume with another value.
    #[must_use]
    pub fn fixed(mut self) -> Self {
        self.on_resume = OnResume::Impossible;
        self
    }

    /// An option that the file must give.
    pub fn required(name: &'static str, ty: OptionType, doc: &'static str) -> Self {
        Self { name, doc, ty, default: DefaultValue::Required, on_resume: OnResume::default() }
    }

    /// An option with a default.
    pub fn new(name: &'static str, ty: OptionType, default: impl Into<Value>, doc: &'static str) -> Self {
        Self { name, doc, ty, default: DefaultValue::Value(default.into()), on_resume: OnResume::default() }
    }

    /// An option that may be left out.
    pub fn optional(name: &'static str, ty: OptionType, doc: &'static str) -> Self {
        Self { name, doc, ty, default: DefaultValue::Absent, on_resume: OnResume::default() }
    }

    /// An option whose default is a key elsewhere in the file, such as `trainer.device`.
    pub fn from_key(
        name: &'static str,
        ty: OptionType,
        key: &'static str,
        otherwise: impl Into<Value>,
        doc: &'static str,
    ) -> Self {
        Self { name, doc, ty, default: DefaultValue::Key(key, otherwise.into()), on_resume: OnResume::default() }
    }
}
