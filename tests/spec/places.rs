//! Lines and columns of unusual texts, and how they are shown.

use super::{GOOD, broken_files, load, rendered};
use pipeline::diagnostic::{Diagnostic, Source, Span};

#[test]
fn what_is_shown_and_what_is_reported_is_the_same_place() {
    let mut texts: Vec<String> = broken_files().into_iter().map(|(_, text)| text).collect();
    texts.extend(texts.clone().iter().map(|text| text.replace('\n', "\r\n")));
    texts.extend(texts.clone().iter().map(|text| format!("\u{feff}{text}")));
    for text in texts {
        let loaded = load(&text, &[]);
        for problem in &loaded.diagnostics {
            let report = problem.report(&loaded.source);
            let Some(place) = report.place else { continue };
            let shown = problem.render(&loaded.source, false);
            assert!(shown.contains(&format!("--> test.yml:{}:{}\n", place.line, place.column)), "{place:?}\n{shown}");
        }
    }
}

#[test]
fn line_ends_and_byte_order_marks_move_nothing() {
    for (name, text) in broken_files() {
        let plain = rendered(&load(&text, &[]));
        assert_eq!(rendered(&load(&text.replace('\n', "\r\n"), &[])), plain, "{name} with CRLF");
        assert_eq!(rendered(&load(&format!("\u{feff}{text}"), &[])), plain, "{name} with a byte order mark");
    }
}

#[test]
fn columns_count_characters() {
    let source = Source::new("x", "a: é😀\tb\r\nc\rd");
    let at = |start, end| {
        let place = source.location(Span { text: 0, start, end });
        (place.line, place.column, place.end_line, place.end_column)
    };
    assert_eq!(at(0, 1), (1, 1, 1, 2));
    assert_eq!(at(5, 9), (1, 5, 1, 6));
    assert_eq!(at(10, 11), (1, 7, 1, 8));
    assert_eq!(at(13, 14), (2, 1, 2, 2));
    assert_eq!(at(15, 16), (3, 1, 3, 2));
    assert_eq!(at(16, 16), (3, 2, 3, 2));
    assert_eq!(at(7, 8), (1, 5, 1, 5), "inside of a character");
    assert_eq!(at(900, 1000), (3, 2, 3, 2), "behind the end");
}

#[test]
fn a_place_anywhere_can_be_shown() {
    for text in ["", "\n", "a", "é", "a\r\n", "\t\t😀é\u{301}\n\n", "\u{1b}[31mx", "a\rb"] {
        let source = Source::new("x", text);
        for start in 0..=text.len() + 1 {
            for end in 0..=text.len() + 1 {
                let span = Span { text: 0, start, end };
                let problem = Diagnostic::error(span, "wrong").related(Some(span), "this too").help("mend it");
                assert!(problem.render(&source, true).contains("wrong"));
                assert!(!problem.render(&source, false).contains('\u{1b}'));
            }
        }
    }
}

#[test]
fn a_long_line_is_cut_around_its_place() {
    let line = format!("{}name: [x]{} ", "# ".repeat(3), " ".repeat(2));
    let text =
        format!("{{trainer: {{num_epochs: 1, a: \"{}\", seeed: 3, b: \"{}\"}}, {line}", "x".repeat(5000), "é".repeat(5000));
    let source = Source::new("long.yml", text.clone());
    let start = text.find("seeed").unwrap();
    let problem = Diagnostic::error(Span { text: 0, start, end: start + 5 }, "nothing reads `seeed`");
    insta::assert_snapshot!(problem.render(&source, false));
}

#[test]
fn a_problem_is_data_for_machines() {
    let loaded = load(&GOOD.replace("image_size: 1024", "image_size: big"), &[]);
    let reports: Vec<_> = loaded.diagnostics.iter().map(|problem| problem.report(&loaded.source)).collect();
    insta::assert_snapshot!(serde_json::to_string_pretty(&reports).unwrap());
}
