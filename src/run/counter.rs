//! How far a command is that goes through a list once: a bar on a terminal, plain lines otherwise.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::progress::{BARS, PLAIN_EVERY};

/// Counts what is done.
pub struct Counter {
    bar: Option<ProgressBar>,
    quiet: bool,
    total: u64,
    started: Instant,
    state: Mutex<(u64, Instant)>,
}

impl Counter {
    /// Counts to `total` on standard error; silently if `quiet`.
    pub fn new(total: u64, quiet: bool) -> Self {
        // Without a total there is nothing to show.
        let bar = (!quiet && total > 0 && io::stderr().is_terminal()).then(|| {
            let all = BARS.get_or_init(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8)));
            let bar = all.add(ProgressBar::new(total));
            let style = ProgressStyle::with_template("{bar:32} {pos}/{len}  {eta} left  {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let now = Instant::now();
        Self { bar, quiet, total, started: now, state: Mutex::new((0, now)) }
    }

    /// One more is done, called `name`.
    pub fn count(&self, name: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        let done = state.0;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(name.to_owned());
        } else if !self.quiet && (done == self.total || state.1.elapsed() >= PLAIN_EVERY) {
            state.1 = Instant::now();
            let left = self.started.elapsed().as_secs_f64() / done as f64 * self.total.saturating_sub(done) as f64;
            tracing::info!("{done} of {} done, {} left", self.total, HumanDuration(Duration::from_secs_f64(left)));
        }
    }

    /// How many are done.
    pub fn done(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
