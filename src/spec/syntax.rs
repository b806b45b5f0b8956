//! Turns the YAML parser's errors into helpful messages with places. It doesn't change what is accepted.

use std::ops::Range;

use serde_saphyr::{Error, Location, MessageFormatter, UserMessageFormatter};

use super::characters::{self, Odd};
use super::limits::{DEEPEST, MOST_VALUES};
use super::node::{count, quote};
use crate::diagnostic::{Diagnostic, Span};

/// The diagnostic of a syntax error; `span` makes a place of bytes of `yaml`.
pub(super) fn explain(error: &Error, yaml: &str, span: impl Fn(Range<usize>) -> Span) -> Diagnostic {
    let inner = original(error);
    let place = error.location().map(|location| bytes(&location, yaml));
    let found = place.clone().map_or("", |place| line_at(yaml, place.start));
    let (message, help) = words(inner, found);
    if let Some((at, odd)) = place.as_ref().and_then(|place| odd_near(yaml, place.start)) {
        let place = at..at + odd.character.len_utf8();
        return Diagnostic::error(span(place), message).help(format!("here is {}: {}", odd.describe(), odd.mend()));
    }
    let mut diagnostic = Diagnostic::error(place.map(span), message);
    diagnostic.help = help.map(str::to_owned);
    diagnostic
}

/// The bytes of a location. Errors of syntax have a line and a column only.
pub(super) fn bytes(location: &Location, yaml: &str) -> Range<usize> {
    let size = |number: Option<u64>| number.and_then(|number| usize::try_from(number).ok());
    if let (Some(start), Some(length)) = (size(location.span().byte_offset()), size(location.span().byte_len())) {
        let start = start.min(yaml.len());
        return start..start.saturating_add(length).min(yaml.len());
    }
    let line = size(Some(location.line())).unwrap_or(1).max(1);
    let column = size(Some(location.column())).unwrap_or(1).max(1);
    let first = yaml.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>().min(yaml.len());
    let rest = &yaml[first..];
    let mut characters = rest.char_indices().skip(column - 1).map(|(at, c)| (first + at, c));
    match characters.next() {
        Some((at, c)) if c != '\n' && c != '\r' => at..at + c.len_utf8(),
        Some((at, _)) => at..at,
        None => yaml.len()..yaml.len(),
    }
}

fn original(mut error: &Error) -> &Error {
    while let Error::AliasError { error: inner, .. } | Error::WithSnippet { error: inner, .. } = error {
        error = inner;
    }
    error
}

fn line_at(yaml: &str, at: usize) -> &str {
    let start = yaml.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    yaml.get(start..).and_then(|rest| rest.lines().next()).unwrap_or("")
}

/// The character that looks like another one in the line that holds byte `at`, or in the line before, which a value may have
/// swallowed; with its place. Not in comments.
fn odd_near(yaml: &str, at: usize) -> Option<(usize, Odd)> {
    let line = |at: usize| {
        let start = yaml.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
        let code = line_at(yaml, start);
        let code = code.split(" #").next().filter(|code| !code.trim_start().starts_with('#')).unwrap_or("");
        Some((start, characters::first(code)))
    };
    let (start, here) = line(at)?;
    let before = || start.checked_sub(1).and_then(line);
    let (start, odd) = here.map(|odd| (start, odd)).or_else(|| before().and_then(|(start, odd)| Some((start, odd?))))?;
    Some((start + odd.at, odd))
}

const TOO_LARGE: &str = "a pipeline file has a few dozen stages: make it smaller";

fn words(error: &Error, line: &str) -> (String, Option<&'static str>) {
    let text = UserMessageFormatter.format_message(error);
    match error {
        Error::MultipleDocuments { .. } => {
            return (
                "a second document starts here".into(),
                Some("a file holds one pipeline: remove `---` and everything after it"),
            );
        }
        Error::UnknownAnchor { .. } => {
            return (
                "no such anchor".into(),
                Some("`*name` repeats a value marked with `&name` above it; text that starts with `*` needs quotes"),
            );
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            return ("an alias inside the value that it repeats".into(), Some("a value can't contain itself"));
        }
        Error::UnsupportedTag { tag, .. } => {
            return (
                format!("the tag {} has no meaning here", quote(tag)),
                Some("remove it; text that starts with `!` needs quotes"),
            );
        }
        Error::MergeValueNotMapOrSeqOfMaps { .. } => {
            return ("`<<` takes a map, or a list of maps".into(), Some("write `<<: *name`, with `&name` on a map above it"));
        }
        Error::Budget { breach, .. } => return (budget(breach), Some(TOO_LARGE)),
        Error::AliasReplayLimitExceeded { .. } | Error::AliasReplayStackDepthExceeded { .. } => {
            return ("aliases make this file too large".into(), Some(TOO_LARGE));
        }
        _ => {}
    }
    let help = if text.contains("recursion limit") {
        return (too_deep(), Some(TOO_LARGE));
    } else if line.contains("${") && (text.contains("flow") || text.contains("bracket") || text.contains("':'")) {
        Some("inside {...} and [...] a reference needs quotes: \"${dataset.image_size}\"")
    } else if text.contains("unclosed quote") {
        Some("close it with the same quote; a quote inside quotes is written twice")
    } else if text.contains("unclosed bracket") {
        Some("every `{` needs its `}`, every `[` its `]`")
    } else if text.contains("misplaced bracket") {
        Some("remove it, or open it with `{` or `[` before")
    } else if text.contains("tab") || line.starts_with('\t') {
        Some("indent with spaces")
    } else if text.contains("mapping values are not allowed") {
        Some(
            "`key: value` needs its own line, a space after the colon, and the indentation of its neighbours; text with `: ` needs quotes",
        )
    } else if text.contains("did not find expected key") || text.contains("did not find expected '-'") {
        Some("indent it like its neighbours")
    } else if text.contains("expected ':'") {
        Some("a key needs a colon and a space after it")
    } else if text.contains("unexpected character") {
        Some("text that starts with this character needs quotes")
    } else if text.contains("escape") || text.contains("hexadecimal") {
        Some("in double quotes `\\` starts an escape: use 'single quotes', or `\\\\`")
    } else if text.contains("expected ','") || text.contains("placement of ':'") {
        Some("put a comma between the values, or close the bracket")
    } else {
        None
    };
    (format!("this is not YAML: {text}"), help)
}

fn too_deep() -> String {
    format!("nested deeper than {DEEPEST} levels")
}

fn budget(breach: &serde_saphyr::budget::BudgetBreach) -> String {
    use serde_saphyr::budget::BudgetBreach as Breach;
    match breach {
        Breach::Depth { .. } => too_deep(),
        Breach::Nodes { .. } | Breach::Events { .. } => {
            format!("more than {}, aliases counted as often as they are used", count(MOST_VALUES, "value"))
        }
        Breach::Aliases { .. } | Breach::Anchors { .. } | Breach::AliasAnchorRatio { .. } => {
            "too many anchors and aliases".into()
        }
        Breach::Documents { .. } => "more than one document".into(),
        _ => "too large for a pipeline file".into(),
    }
}
