//! The option `exclude` of the sources that read files: samples that are left out, named in the file or in a run's
//! `quarantine.txt`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use pipeline_contract::{OptionSpec, OptionType, Result, StageError, first_of};
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::Value;

use crate::form::normal;

/// The option as the file gives it.
#[derive(Debug, Clone)]
pub(crate) enum Exclude {
    /// Samples by name.
    Samples(Vec<String>),
    /// A file with a sample a line.
    File(PathBuf),
}

impl<'de> Deserialize<'de> for Exclude {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        match Value::deserialize(from)? {
            Value::String(path) => Ok(Self::File(path.into())),
            list => serde_json::from_value(list).map(Self::Samples).map_err(D::Error::custom),
        }
    }
}

/// Declares the option.
pub(crate) fn exclude_option() -> OptionSpec {
    let samples = OptionType::List { of: Box::new(OptionType::Text), min: 0, max: usize::MAX };
    OptionSpec::new(
        "exclude",
        OptionType::AnyOf(vec![samples, OptionType::Path]),
        Vec::<String>::new(),
        "samples to leave out, such as [train/17_A, 18_A]; or a file with one a line, such as a run's quarantine.txt",
    )
}

impl Exclude {
    /// The samples that it names.
    ///
    /// # Errors
    /// When its file can't be read.
    pub(crate) fn read(self) -> Result<Excluded> {
        let path = match self {
            Self::Samples(samples) => return Ok(Excluded::new(samples.into_iter().collect())),
            Self::File(path) => path,
        };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            StageError::new(format!("`exclude`: {} can't be read: {error}", path.display()))
                .help("name a file with one sample a line, such as a run's quarantine.txt; or list samples in brackets: [17_A]")
        })?;
        Ok(Excluded::new(text.lines().filter_map(sample).collect()))
    }
}

/// The sample of a line: what stands before the first tab. Nothing of an empty line or a comment.
fn sample(line: &str) -> Option<String> {
    let name = line.split('\t').next().unwrap_or_default().trim();
    if name.is_empty() || name.starts_with('#') {
        return None;
    }
    let (mut text, mut rest) = (String::new(), name.chars());
    while let Some(letter) = rest.next() {
        match (letter, rest.clone().next()) {
            ('\\', Some(escaped @ ('\\' | '#' | 't' | 'n' | 'r'))) => {
                rest.next();
                text.push(match escaped {
                    't' => '\t',
                    'n' => '\n',
                    'r' => '\r',
                    same => same,
                });
            }
            _ => text.push(letter),
        }
    }
    Some(text)
}

/// Samples to leave out.
#[derive(Debug, Default)]
pub(crate) struct Excluded {
    names: BTreeSet<String>,
    /// The same in Unicode normal form.
    normal: BTreeSet<String>,
}

impl Excluded {
    fn new(names: BTreeSet<String>) -> Self {
        let normal = names.iter().map(|name| normal(name).into_owned()).collect();
        Self { names, normal }
    }

    /// Whether this sample is meant: by its id or by its id's last part, in any Unicode form.
    pub(crate) fn holds(&self, id: &str) -> bool {
        [id, last(id)].iter().any(|name| self.normal.contains(&*normal(name)))
    }

    /// The same, of a sample that another one differs from in Unicode form alone.
    pub(crate) fn holds_exactly(&self, id: &str) -> bool {
        [id, last(id)].iter().any(|name| self.names.contains(*name))
    }

    /// The same samples as a source knows them whose ids `mix` begins with `source/`. Where samples come again, the name of one that does
    /// ([`again`](pipeline_contract::again)) is that of the sample.
    pub(crate) fn within(&self, source: &str, repeated: bool) -> Self {
        let once = |name: &str| if repeated { first_of(name) } else { name }.to_owned();
        let own = |name: &String| match name.strip_prefix(source).and_then(|rest| rest.strip_prefix('/')) {
            Some(rest) => Some(once(rest)),
            None => (!name.contains('/')).then(|| once(name)),
        };
        Self::new(self.names.iter().filter_map(own).collect())
    }

    /// All that either names.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.names.extend(other.names);
        self.normal.extend(other.normal);
        self
    }

    /// The names, as the option takes them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// An id without its folder.
fn last(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_names_a_sample_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("quarantine.txt");
        std::fs::write(&path, "# a comment\n\ntrain/17_A\tdecode: cut off\n 18_A \r\n\\#19\\t\\\\_A\tdecode: #\n").unwrap();
        let Excluded { names, .. } = serde_json::from_value::<Exclude>(json!(path)).unwrap().read().unwrap();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["#19\t\\_A", "18_A", "train/17_A"]);
    }

    #[test]
    fn a_name_is_an_id_or_its_last_part() {
        let excluded = serde_json::from_value::<Exclude>(json!(["train/1_A", "2_A"])).unwrap().read().unwrap();
        assert!(excluded.holds("train/1_A") && excluded.holds("test/2_A") && !excluded.holds("test/1_A"));
        let excluded = serde_json::from_value::<Exclude>(json!(["\u{e9}"])).unwrap().read().unwrap();
        for (id, in_any_form, in_its_own) in [("a/\u{e9}", true, true), ("a/e\u{301}", true, false), ("e", false, false)] {
            assert_eq!((excluded.holds(id), excluded.holds_exactly(id)), (in_any_form, in_its_own), "{id}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_no_empty_list() {
        let error = serde_json::from_value::<Exclude>(json!("17_A")).unwrap().read().unwrap_err();
        assert!(error.message().contains("17_A") && error.mend().unwrap().contains("brackets"), "{error}");
    }
}
