//! Choices by capture, such as `child=01..08` or `eye=L,R`: which matched files are kept. Knows captures, not files.

use crate::form::normal;
use crate::pattern::Captures;

/// Values of one capture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    /// The choice as written in the file.
    pub(crate) text: String,
    /// The capture's name.
    pub(crate) capture: String,
    values: Vec<Values>,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    One(String),
    Range(u64, u64),
}

impl Choice {
    /// Reads `capture=value`, `capture=first..last` (whole numbers, both included), or several of these after commas.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no choice: write child=01, eye=L,R or child=01..08");
        let (capture, values) = text.split_once('=').ok_or_else(wrong)?;
        let values = values.split(',').map(|value| match value.trim().split_once("..") {
            Some((first, last)) => match (first.trim().parse(), last.trim().parse()) {
                (Ok(first), Ok(last)) if first <= last => Ok(Values::Range(first, last)),
                _ => Err(wrong()),
            },
            None if value.trim().is_empty() => Err(wrong()),
            None => Ok(Values::One(normal(value.trim()).into_owned())),
        });
        Ok(Self { text: text.into(), capture: capture.trim().into(), values: values.collect::<Result<_, _>>()? })
    }

    /// True when the capture has one of the values.
    pub(crate) fn fits(&self, captures: &Captures) -> bool {
        let Some(found) = captures.get(&self.capture) else { return false };
        self.values.iter().any(|values| match values {
            Values::One(value) => value == found,
            Values::Range(first, last) => found.parse().is_ok_and(|number| (*first..=*last).contains(&number)),
        })
    }
}

/// True when each capture named in `only` has one of its values, and nothing in `except` fits.
pub(crate) fn keeps(only: &[Choice], except: &[Choice], captures: &Captures) -> bool {
    let wanted = |choice: &Choice| only.iter().any(|other| other.capture == choice.capture && other.fits(captures));
    only.iter().all(wanted) && !except.iter().any(|choice| choice.fits(captures))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(only: &[&str], except: &[&str], child: &str, eye: &str) -> bool {
        let parse = |texts: &[&str]| texts.iter().map(|text| Choice::parse(text).unwrap()).collect::<Vec<_>>();
        let captures = [("child".to_string(), child.to_string()), ("eye".to_string(), eye.to_string())].into();
        keeps(&parse(only), &parse(except), &captures)
    }

    #[test]
    fn choices_of_one_capture_are_alternatives_and_of_several_all_hold() {
        assert!(kept(&[], &[], "01", "L"));
        assert!(kept(&["child=01..08"], &[], "08", "L") && !kept(&["child=01..08"], &[], "09", "L"));
        assert!(kept(&["child=01", "child=03"], &[], "03", "L") && kept(&["child=01,3..4"], &[], "03", "L"));
        assert!(kept(&["child=01", "eye=L"], &[], "01", "L") && !kept(&["child=01", "eye=L"], &[], "01", "R"));
        assert!(!kept(&[], &["child=01..02"], "02", "L") && !kept(&["child=1..9"], &["eye=R"], "02", "R"));
        assert!(!kept(&["child=1"], &[], "01", "L"), "single values are compared as text");
        assert!(kept(&["child=e\u{301}"], &[], "\u{e9}", "L"), "captures are in normal form");
    }

    #[test]
    fn what_is_no_choice_is_refused() {
        for text in ["child", "child=", "child=9..1", "child=a..b", "child=1,,2"] {
            assert!(Choice::parse(text).is_err(), "{text}");
        }
    }
}
