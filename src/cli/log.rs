//! Log lines on standard error: `error: ...`, `warning: ...`, and plain lines.
//! Figures of a run aren't logged; they go to its folder.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use crate::run::LogWriter;

/// The variable whose filter takes precedence over the flags.
const VARIABLE: &str = "PIPELINE_LOG";

/// Listing devices makes a library look for OpenGL, which is absent without a screen and never used to compute. And a panic on a
/// device's thread is printed as one, or is the answer of a look-up: the library's warning only repeats it.
const UNHEARD: &str = ",wgpu_hal::gles=off,cubecl_common::device::handle=error";

/// Starts logging. Libraries are heard only when something is wrong, unless the user asks for everything.
pub(super) fn start(color: bool, verbose: u8, quiet: bool) {
    let said = std::env::var(VARIABLE).ok().filter(|filter| !filter.trim().is_empty());
    let parsed = said.as_deref().map(EnvFilter::try_new).transpose();
    let (filter, wrong) = match parsed {
        Ok(Some(filter)) => (filter, None),
        Ok(None) => (EnvFilter::new(filter(verbose, quiet)), None),
        Err(error) => (EnvFilter::new(filter(verbose, quiet)), Some(error)),
    };
    // A terminal that was closed takes no lines; that must not end the run.
    let subscriber = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_ansi(color)
        .event_format(Lines { color })
        .with_env_filter(filter);
    // Only the first call in a process counts; tests make several.
    let _ = subscriber.with_writer(|| LogWriter).try_init();
    if let Some(error) = wrong {
        tracing::warn!("{VARIABLE} is ignored: {error}");
    }
}

fn filter(verbose: u8, quiet: bool) -> String {
    let level = match (quiet, verbose) {
        (true, _) => return format!("error{UNHEARD}"),
        (false, 0) => "info",
        (false, 1) => "debug",
        (false, _) => return "trace".into(),
    };
    ["", "_contract", "_images", "_training"]
        .iter()
        .fold(format!("warn{UNHEARD}"), |all, part| format!("{all},pipeline{part}={level}"))
}

/// One line for each event, without time and place: those who want them ask for `trace`.
struct Lines {
    color: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, cx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let (word, style) = match *event.metadata().level() {
            Level::ERROR => ("error: ", "1;31"),
            Level::WARN => ("warning: ", "1;33"),
            Level::INFO => ("", ""),
            Level::DEBUG => ("debug: ", "2"),
            Level::TRACE => ("trace: ", "2"),
        };
        if self.color && !word.is_empty() {
            write!(writer, "\x1b[{style}m{word}\x1b[0m")?;
        } else {
            writer.write_str(word)?;
        }
        if *event.metadata().level() >= Level::DEBUG {
            write!(writer, "{}: ", event.metadata().target())?;
        }
        cx.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_make_filters() {
        assert!(filter(0, true).starts_with("error,"));
        assert!(filter(1, false).starts_with("warn,") && filter(1, false).contains(",pipeline=debug,"));
        for (verbose, quiet) in [(0, false), (1, false), (2, false), (0, true)] {
            assert!(EnvFilter::try_new(filter(verbose, quiet)).is_ok());
        }
    }
}
