//! What people see while it runs: bars on a terminal, plain lines otherwise. It only reads figures and never changes a run.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pipeline_contract::events::{EpochEvent, StepEvent};
use pipeline_contract::{Event, Metric};

use super::amount::{Planned, memory, peak};
use super::headline::{headline, title};

/// The bars of the process, through which log lines go so that neither tears the other.
pub(super) static BARS: OnceLock<MultiProgress> = OnceLock::new();

/// How often plain lines report steps; epochs and evaluations are always reported.
pub(super) const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Shows the progress of one run. Clones show the same.
#[derive(Clone)]
pub struct Progress(Arc<Inner>);

struct Inner {
    bars: Option<Bars>,
    quiet: bool,
    source: Option<(String, u64)>,
    metrics: Vec<Metric>,
    several: bool,
    state: Mutex<State>,
}

struct Bars {
    epochs: ProgressBar,
    samples: ProgressBar,
    /// A line of text: beside the samples it would not fit into 80 columns.
    memory: ProgressBar,
}

struct State {
    epochs: u64,
    /// Samples of an epoch: announced by the source, or counted in the first epoch.
    per_epoch: Option<u64>,
    first_step: Option<(Instant, u64)>,
    last_line: Option<Instant>,
    eval: String,
    planned: Planned,
    /// The device's peak when it was last shown, in bytes.
    told_peak: u64,
}

impl Progress {
    /// Progress on standard error: bars if it is a terminal, plain lines otherwise, nothing if `quiet`. What is left is counted
    /// in the samples of `source`, the first one of the file, each as often as the number beside it; of evaluations those of `metrics` are
    /// shown that have a label; `several` says whether the file has more than one evaluator.
    pub fn new(epochs: u64, source: Option<(String, u64)>, (metrics, several): (Vec<Metric>, bool), quiet: bool) -> Self {
        let bars = (!quiet && io::stderr().is_terminal()).then(|| bars(epochs));
        let (eval, planned) = (String::new(), Planned::default());
        let state = State { epochs, per_epoch: None, first_step: None, last_line: None, eval, planned, told_peak: 0 };
        Self(Arc::new(Inner { bars, quiet, source, metrics, several, state: Mutex::new(state) }))
    }

    /// A source says how many samples its epochs have.
    pub(super) fn announce(&self, stage: &str, samples: u64) {
        // Sources start side by side, so which one speaks first says nothing.
        let Some((_, pieces)) = self.0.source.as_ref().filter(|(source, _)| source == stage) else { return };
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let total = *state.per_epoch.get_or_insert(samples.saturating_mul(*pieces));
        if let Some(bars) = &self.0.bars {
            bars.samples.set_length(total);
        }
    }

    pub(super) fn event(&self, event: &Event) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Plan(plan) => {
                state.planned = Planned { device: Some(plan.device_planned_peak), host: Some(plan.host_planned_peak) };
            }
            Event::Step(step) => self.step(&mut state, step),
            Event::Epoch(epoch) => self.epoch(&mut state, epoch),
            Event::Eval(eval) => {
                let figures = headline(&self.0.metrics, eval);
                // Beside the bar of the epochs there is room for one.
                let title = title(eval, self.0.several);
                state.eval = figures.first().map(|figure| format!("{title} {figure}")).unwrap_or_default();
                self.line(&match figures.is_empty() {
                    true => format!("epoch {}: measured on {} images", eval.epoch, eval.images),
                    false => format!("epoch {}: {title} {}", eval.epoch, figures.join(", ")),
                });
            }
            // Retries and samples that are skipped are warnings already.
            _ => {}
        }
    }

    /// Takes the bars away.
    pub(super) fn finish(&self) {
        if let Some(bars) = &self.0.bars {
            bars.memory.finish_and_clear();
            bars.samples.finish_and_clear();
            bars.epochs.finish_and_clear();
        }
    }

    fn step(&self, state: &mut State, step: &StepEvent) {
        let &StepEvent { epoch, samples, .. } = step;
        // The first step is where kernels are compiled and queues filled, so the rate counts from its end.
        let &mut (since, before) = state.first_step.get_or_insert((Instant::now(), samples));
        let elapsed = since.elapsed().as_secs_f64();
        let rate = if samples > before && elapsed > 0.0 { (samples - before) as f64 / elapsed } else { 0.0 };
        let mut text = shown(step.loss);
        if rate > 0.0 {
            text += &format!("  {rate:.1} samples/s");
            if let Some(per_epoch) = state.per_epoch {
                let left = per_epoch.saturating_mul(state.epochs).saturating_sub(samples) as f64 / rate;
                text += &format!("  {:#} left", HumanDuration(Duration::from_secs_f64(left.min(1e9))));
            }
        }
        // After the first step, and where images or settings have changed what is held.
        if let Some((bytes, text)) = peak(step).filter(|(bytes, _)| *bytes as f64 > 1.05 * state.told_peak as f64) {
            self.line(&text);
            state.told_peak = bytes;
        }
        if let Some(bars) = &self.0.bars {
            bars.epochs.set_position(epoch.saturating_sub(1));
            bars.epochs.set_message(state.eval.clone());
            bars.samples.set_position(done(samples, epoch, state.per_epoch));
            bars.samples.set_message(text);
            bars.memory.set_message(memory(step, state.planned));
        } else if state.last_line.is_none_or(|last| last.elapsed() >= PLAIN_EVERY) {
            state.last_line = Some(Instant::now());
            let (number, memory) = (step.step, memory(step, state.planned));
            self.line(format!("epoch {epoch}/{}  step {number}  {text}  {memory}", state.epochs).trim_end());
        }
    }

    fn epoch(&self, state: &mut State, event: &EpochEvent) {
        let &EpochEvent { epoch, loss, seconds_in_epoch: seconds, samples_per_second: rate } = event;
        state.per_epoch.get_or_insert((seconds * rate).round() as u64);
        if let Some(bars) = &self.0.bars {
            bars.epochs.set_position(epoch);
        }
        let loss = shown(loss);
        self.line(&format!("epoch {epoch}/{}: {loss}, {seconds:.1} s, {rate:.1} samples/s", state.epochs));
    }

    fn line(&self, text: &str) {
        if !self.0.quiet {
            // One write a line, so that the bars are taken away once; a closed terminal must not end a run.
            let _ = LogWriter.write_all(format!("{text}\n").as_bytes());
        }
    }
}

fn bars(epochs: u64) -> Bars {
    let all = BARS.get_or_init(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8)));
    let style = |template: &str| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = |length: Option<u64>, template: &str| {
        let bar = all.add(length.map_or_else(ProgressBar::no_length, ProgressBar::new));
        bar.set_style(style(template).progress_chars("━╸─"));
        bar.enable_steady_tick(Duration::from_millis(250));
        bar
    };
    Bars {
        epochs: bar(Some(epochs), "epochs  {bar:24} {pos}/{len}  {elapsed}  {msg}"),
        samples: bar(None, "samples {bar:24} {pos}/{len}  {msg}"),
        memory: bar(None, "memory  {msg}"),
    }
}

/// Standard error, above the bars where there are any. Log lines go through it.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match BARS.get() {
            // Not `suspend`, which panics where the terminal has been closed.
            Some(bars) => bars.println(String::from_utf8_lossy(bytes).trim_end_matches('\n'))?,
            None => io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// How many samples of an epoch (from 1) are done when `samples` of the run are.
fn done(samples: u64, epoch: u64, per_epoch: Option<u64>) -> u64 {
    per_epoch.map_or(samples, |total| samples.saturating_sub(epoch.saturating_sub(1).saturating_mul(total)))
}

/// A mean loss in words; there is none where all windows overflowed.
fn shown(loss: Option<f64>) -> String {
    loss.map_or_else(|| "no finite loss".into(), |loss| format!("loss {loss:.4}"))
}

#[cfg(test)]
mod tests {
    use pipeline_contract::events::{ByCause, EvalEvent, PlanEvent};

    use super::*;

    #[test]
    fn any_amounts_are_shown() {
        assert_eq!((done(25, 3, Some(10)), done(25, 3, None), done(25, 9, Some(10))), (5, 25, 0));
        assert_eq!(done(u64::MAX, u64::MAX, Some(u64::MAX)), 0);
        let progress =
            Progress::new(u64::MAX, Some(("files".into(), 1)), (vec![Metric::max("dice").shown_as("dice")], false), false);
        progress.announce("files", u64::MAX);
        for (samples, epoch) in [(0, 0), (1, 1), (u64::MAX, u64::MAX)] {
            let bytes = Some(u64::MAX);
            let causes = ByCause::from_iter([("weights", u64::MAX), ("batch", u64::MAX)]);
            let plan = PlanEvent {
                device_planned_peak: u64::MAX,
                device_peak_place: String::new(),
                device_peak_by_cause: causes.clone(),
                host_planned_peak: u64::MAX,
                host_by_cause: ByCause::default(),
            };
            let step = StepEvent {
                samples,
                epoch,
                step: samples,
                loss: Some(f64::MAX),
                device_bytes: bytes,
                device_bytes_peak: bytes,
                device_peak_by_cause: causes,
                host_bytes: bytes,
                host_bytes_peak: bytes,
                ..StepEvent::default()
            };
            let done = EpochEvent { epoch, loss: None, seconds_in_epoch: 1e300, samples_per_second: f64::NAN };
            let metrics = [("dice", Some(f64::MAX)), ("auc", None)].into_iter().collect();
            let eval = EvalEvent { epoch, metrics, images: samples, ..EvalEvent::default() };
            for event in [plan.into(), step.into(), done.into(), eval.into()] {
                progress.event(&event);
            }
        }
        progress.finish();
    }
}
