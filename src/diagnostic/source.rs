//! The texts that problems point into: the file, and after it each `--set` argument.
//! Positions are bytes inside the program and lines and columns, counted from 1 in characters, outside of it.

use serde::Serialize;

/// A stretch of one of the texts of a [`Source`], in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Which text: 0 is the file.
    pub text: usize,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// A [`Span`] in lines and columns, both from 1; a column is a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Location {
    /// Line of the first character.
    pub line: usize,
    /// Column of the first character.
    pub column: usize,
    /// Line of the character after the last.
    pub end_line: usize,
    /// Column of the character after the last.
    pub end_column: usize,
}

/// A file's name and text, followed by the overrides.
#[derive(Debug, Clone)]
pub struct Source {
    file: Text,
    others: Vec<Text>,
}

#[derive(Debug, Clone)]
struct Text {
    name: String,
    text: String,
    /// The byte at which each line starts.
    lines: Vec<usize>,
}

impl Text {
    fn new(name: String, text: String) -> Self {
        let bytes = text.as_bytes();
        let ends_line = |at: usize| bytes[at] == b'\n' || (bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
        let lines = std::iter::once(0).chain((0..bytes.len()).filter(|&at| ends_line(at)).map(|at| at + 1)).collect();
        Self { name, text, lines }
    }

    /// The nearest byte at or before `at` that starts a character.
    fn floor(&self, at: usize) -> usize {
        let at = at.min(self.text.len());
        (0..=at).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0)
    }

    /// Index of the line that holds a byte.
    fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|&start| start <= at).saturating_sub(1)
    }

    fn position(&self, at: usize) -> (usize, usize) {
        let at = self.floor(at);
        let line = self.line_of(at);
        (line + 1, self.text[self.lines[line]..at].chars().count() + 1)
    }
}

impl Source {
    /// A source of one file. A byte order mark at its start is dropped.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text: String = text.into();
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Self { file: Text::new(name.into(), text), others: Vec::new() }
    }

    /// Lays another text over the file; returns its number for [`Span::text`].
    pub(crate) fn add(&mut self, name: &str, text: &str) -> usize {
        self.others.push(Text::new(name.to_owned(), text.to_owned()));
        self.others.len()
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.file.text
    }

    /// The name of the text that a span points into; the file's if there is no such text.
    pub(crate) fn name_of(&self, span: Option<Span>) -> &str {
        &self.text_of(span.map_or(0, |span| span.text)).name
    }

    /// A span in lines and columns.
    pub fn location(&self, span: Span) -> Location {
        let text = self.text_of(span.text);
        let (line, column) = text.position(span.start);
        let (end_line, end_column) = text.position(span.end.max(span.start));
        Location { line, column, end_line, end_column }
    }

    /// What stands at a span.
    pub(crate) fn slice(&self, span: Span) -> &str {
        let text = self.text_of(span.text);
        let (start, end) = (text.floor(span.start), text.floor(span.end));
        text.text.get(start..end).unwrap_or("")
    }

    /// The line (from 1), without its end, that holds the start of a span, and the span's bytes within that line.
    pub(crate) fn line(&self, span: Span) -> (usize, &str, std::ops::Range<usize>) {
        let text = self.text_of(span.text);
        let start = text.floor(span.start);
        let line = text.line_of(start);
        let first = text.lines[line];
        let last = text.lines.get(line + 1).copied().unwrap_or(text.text.len());
        let shown = text.text[first..last].trim_end_matches(['\n', '\r']);
        let within = |at: usize| text.floor(at).saturating_sub(first).min(shown.len());
        (line + 1, shown, within(start)..within(span.end.max(start)))
    }

    fn text_of(&self, number: usize) -> &Text {
        number.checked_sub(1).and_then(|other| self.others.get(other)).unwrap_or(&self.file)
    }
}
