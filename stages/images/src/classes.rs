//! What the class numbers of a mask stand for: `labels` of `decode` declares it, later stages read it from the facts.
//! Knows no pixels; how classes are drawn is in `palette` and `legend`.

use pipeline_contract::{Facts, fact};
use serde_json::Value;

/// The number of pixels that belong to no class: losses and figures leave them out. PyTorch's `ignore_index`.
pub const IGNORED: u8 = 255;

/// The name of class 0.
pub(crate) const BACKGROUND: &str = "background";

/// The classes of a mask whose pixels are class numbers. Without them a mask is binary: 1 where there is vessel, 0 elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes {
    /// Names by number; the first is the background's.
    pub names: Vec<String>,
    /// Whether pixels may be [`IGNORED`].
    pub ignored: bool,
}

impl Classes {
    /// The classes that a stage above declared; `None` where masks are binary.
    ///
    /// They are the facts [`CLASS_NAMES`](fact::CLASS_NAMES), [`CLASSES`](fact::CLASSES) and, where pixels may be ignored,
    /// [`IGNORE_INDEX`](fact::IGNORE_INDEX).
    pub fn of(facts: &Facts) -> Option<Self> {
        let names = facts.get(fact::CLASS_NAMES)?.value.as_array()?;
        let names = names.iter().map(|name| Some(name.as_str()?.to_owned())).collect::<Option<_>>()?;
        Some(Self { names, ignored: facts.get(fact::IGNORE_INDEX).is_some() })
    }

    /// `count` classes that nobody named, none of them ignored: background and vessel, or background, class 1, class 2, ...
    pub fn unnamed(count: usize) -> Self {
        let name = |number| match number {
            0 => BACKGROUND.to_owned(),
            _ if count == 2 => "vessel".to_owned(),
            number => format!("class {number}"),
        };
        Self { names: (0..count).map(name).collect(), ignored: false }
    }

    /// Sets the facts; the options are those of `decode`.
    pub(crate) fn set(&self, facts: &mut Facts) {
        facts.set(fact::CLASSES, self.names.len(), "labels");
        facts.set(fact::CLASS_NAMES, Value::from(self.names.as_slice()), "labels");
        if self.ignored {
            facts.set(fact::IGNORE_INDEX, IGNORED, "labels");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read_again() {
        for ignored in [false, true] {
            let classes = Classes { names: vec![BACKGROUND.into(), "vein".into()], ignored };
            let mut facts = Facts::default();
            classes.set(&mut facts);
            assert_eq!(Classes::of(&facts), Some(classes));
            assert_eq!(facts.integer(fact::CLASSES), Some(2));
            assert_eq!(facts.integer(fact::IGNORE_INDEX), ignored.then_some(255));
        }
        assert_eq!(Classes::of(&Facts::default()), None);
    }

    #[test]
    fn classes_without_names_are_numbered() {
        assert_eq!(Classes::unnamed(2).names, ["background", "vessel"]);
        assert_eq!(Classes::unnamed(3).names, ["background", "class 1", "class 2"]);
    }
}
