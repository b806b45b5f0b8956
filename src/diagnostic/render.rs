//! How people see a problem: message, place, the line with a caret under it, and how to fix it.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::{Diagnostic, Source, Span};

/// Lines longer than this are shown cut, in characters.
const LONGEST_LINE: usize = 160;
/// What is kept of a cut line before the place.
const KEPT_BEFORE: usize = 60;

/// `2 errors, 1 warning in fives.yml`
pub fn summary(diagnostics: &[Diagnostic], source: &Source) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    let counts = [(errors, "error"), (diagnostics.len() - errors, "warning")];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let words: Vec<_> = counts.map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" })).collect();
    match words.as_slice() {
        [] => format!("no problems in {}", source.name()),
        words => format!("{} in {}", words.join(", "), source.name()),
    }
}

impl Diagnostic {
    /// The problem as people see it, in several lines, without a line end after the last. With `color`, in the colours of a
    /// terminal.
    pub fn render(&self, source: &Source, color: bool) -> String {
        let level = if self.is_error() { Level::ERROR } else { Level::WARNING };
        let mut group = Group::with_title(level.primary_title(self.message.as_str()));
        match self.span {
            None => group = group.element(Origin::path(source.name())),
            Some(span) => {
                let related = self.related.as_deref().map(|(span, label)| (*span, label.as_str()));
                let beside =
                    related.filter(|(other, _)| other.text == span.text && source.line(*other).0 == source.line(span).0);
                group = add(group, source, span, None, beside);
                if let Some((other, label)) = related.filter(|_| beside.is_none()) {
                    group = add(group, source, other, Some(label), None);
                }
            }
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let text = renderer.decor_style(DecorStyle::Ascii).render(&[group]);
        // Without line numbers everything stands one column too far to the left.
        if self.span.is_some() { text } else { text.replace('\n', "\n ") }
    }
}

/// Adds a place and its line with a mark: a caret under the problem, dashes under a second place.
fn add<'a>(
    group: Group<'a>,
    source: &'a Source,
    span: Span,
    label: Option<&'a str>,
    beside: Option<(Span, &'a str)>,
) -> Group<'a> {
    let (number, line, marked) = source.line(span);
    let shown = Cut::of(line, &marked);
    let kind = if label.is_some() { AnnotationKind::Context } else { AnnotationKind::Primary };
    let mut snippet = Snippet::source(shown.text.clone()).line_start(number);
    snippet = snippet.annotation(kind.span(shown.mark(&marked)).label(label));
    if let Some((other, label)) = beside {
        let mark = shown.mark(&source.line(other).2);
        snippet = snippet.annotation(AnnotationKind::Context.span(mark).label(label));
    }
    let name = source.name_of(Some(span));
    if shown.moved == 0 {
        return group.element(snippet.path(name));
    }
    // The snippet would count its column in the cut line.
    let place = source.location(span);
    group.element(Origin::path(name).line(place.line).char_column(place.column)).element(snippet)
}

/// What is shown of a line, so that one endless line doesn't fill the terminal.
struct Cut {
    text: String,
    /// The bytes of the line that are shown.
    kept: Range<usize>,
    /// How far the kept bytes are moved by the dots in front of them.
    moved: usize,
}

impl Cut {
    fn of(line: &str, mark: &Range<usize>) -> Self {
        if line.chars().count() <= LONGEST_LINE {
            return Self { text: line.to_owned(), kept: 0..line.len(), moved: 0 };
        }
        let before = line[..mark.start].char_indices().rev().take(KEPT_BEFORE).last().map_or(mark.start, |(at, _)| at);
        let after = line[before..].char_indices().nth(LONGEST_LINE).map_or(line.len(), |(at, _)| before + at);
        let (front, back) = (if before > 0 { "..." } else { "" }, if after < line.len() { "..." } else { "" });
        Self { text: format!("{front}{}{back}", &line[before..after]), kept: before..after, moved: front.len() }
    }

    fn mark(&self, mark: &Range<usize>) -> Range<usize> {
        let place = |at: usize| at.clamp(self.kept.start, self.kept.end) - self.kept.start + self.moved;
        place(mark.start)..place(mark.end)
    }
}
