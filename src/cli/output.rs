//! What commands write: their answer to standard output, problems to standard error, in colours or not.
//! Nothing is logged here.

use std::io::{ErrorKind, Write, stderr, stdout};
use std::process::ExitCode;

use clap::ColorChoice;

use super::exit;
use crate::diagnostic::summary;
use crate::spec::Loaded;

/// Whether to use colours on a stream. `NO_COLOR`: see <https://no-color.org>.
pub(super) fn colors(choice: ColorChoice, terminal: bool) -> bool {
    let said = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => terminal && said("NO_COLOR").is_none() && said("TERM").is_none_or(|term| term != "dumb"),
    }
}

/// Writes the answer of a command to standard output and ends with `code`. A reader that has had enough (`| head -1`) is
/// no failure.
pub(super) fn answer(text: &str, code: u8) -> ExitCode {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            tracing::error!("can't write to standard output: {error}");
            exit::FAILED.into()
        }
        _ => code.into(),
    }
}

/// Shows all problems of a file on standard error.
pub(super) fn show_problems(loaded: &Loaded, color: bool) {
    // If standard error is closed, the text is lost.
    let _ = stderr().lock().write_all(problems(loaded, color).as_bytes());
}

/// All problems of a file as people see them, with the count at the end; empty without problems.
pub(super) fn problems(loaded: &Loaded, color: bool) -> String {
    let mut text = String::new();
    for diagnostic in &loaded.diagnostics {
        text += &diagnostic.render(&loaded.source, color);
        text += "\n\n";
    }
    if !loaded.diagnostics.is_empty() {
        text += &summary(&loaded.diagnostics, &loaded.source);
        text.push('\n');
    }
    text
}

/// Bold, where colours are used.
pub(super) fn bold(text: &str, color: bool) -> String {
    if color { format!("\x1b[1m{text}\x1b[0m") } else { text.into() }
}

/// Dim, where colours are used.
pub(super) fn dim(text: &str, color: bool) -> String {
    if color { format!("\x1b[2m{text}\x1b[0m") } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_go_before_the_terminal() {
        assert!(colors(ColorChoice::Always, false));
        assert!(!colors(ColorChoice::Never, true));
        assert!(!colors(ColorChoice::Auto, false));
    }
}
