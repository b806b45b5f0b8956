//! What one lane does with samples that fail on it, in the order of its items: skips and reports them, as far as the
//! ledger allows.

use pipeline_contract::{SampleCount, first_of, whole_of};

use super::control::{Control, RunError};
use super::samples::Samples;

/// The broken samples of one lane.
pub struct Sieve<'a> {
    control: &'a Control,
    samples: &'a Samples,
    sources: Vec<String>,
    /// How many flat maps the lane's items have been through.
    levels: usize,
    /// Whether a sample may come more than once in an epoch, each time with an id of its own.
    repeated: bool,
    source: String,
    announced: SampleCount,
    passed: u64,
    left_out: u64,
    last: Option<RunError>,
}

impl<'a> Sieve<'a> {
    /// A lane's sieve; `sources` feed it, through `levels` flat maps. Samples are counted as the sources count them: a piece that fails is its
    /// sample's failure.
    pub fn new(control: &'a Control, samples: &'a Samples, sources: Vec<String>, levels: usize) -> Self {
        let announced = samples.counts.of(sources.iter().map(|source| (source.clone(), 1)).collect());
        let source = sources.join("+");
        Self { control, samples, sources, levels, repeated: false, source, announced, passed: 0, left_out: 0, last: None }
    }

    /// The same of sources whose samples may come more than once in an epoch: one that fails each time is skipped once.
    #[must_use]
    pub fn repeated(self, repeated: bool) -> Self {
        Self { repeated, ..self }
    }

    /// An item was whole.
    pub fn passed(&mut self) {
        self.passed += 1;
    }

    /// Leaves out the sample of an error, which is reported where it is new.
    ///
    /// # Errors
    /// When it may not be left out; the run is ending then.
    pub fn leave_out(&mut self, error: RunError, epoch: u64) -> Result<(), RunError> {
        let whole = error.sample.as_deref().map(|sample| whole_of(sample, self.levels).to_owned());
        let mut error = error.of_whole(whole.as_deref().unwrap_or_default());
        if self.repeated {
            error.sample = error.sample.map(|sample| first_of(&sample).to_owned());
        }
        self.leave_out_of(error, self.all(), epoch)
    }

    /// How many samples the sources have, broken or not, where that is known.
    fn all(&self) -> Option<u64> {
        let ledger = &self.samples.skipped;
        let whole = self.announced.per_epoch().or_else(|| ledger.counted(&self.sources))?;
        Some(whole + ledger.listed(&self.sources))
    }

    /// The same, for a source with `samples` samples, broken or not.
    pub fn leave_out_of(&mut self, error: RunError, samples: Option<u64>, epoch: u64) -> Result<(), RunError> {
        let judged = self.samples.skipped.leave_out(error.clone(), &self.source, samples, epoch);
        if let Some(skipped) = self.control.check(judged)? {
            self.samples.report(&skipped);
        }
        self.left_out += 1;
        self.last = Some(error);
        Ok(())
    }

    /// An epoch (from 0) is over.
    ///
    /// # Errors
    /// When nothing was left of it, or more was left out than may be, where only now that can be known.
    pub fn epoch_end(&mut self, epoch: u64) -> Result<(), RunError> {
        let (passed, left_out) = (std::mem::take(&mut self.passed), std::mem::take(&mut self.left_out));
        let ledger = &self.samples.skipped;
        let Some(last) = self.last.as_ref().filter(|_| left_out > 0 && ledger.sees_whole(epoch)) else { return Ok(()) };
        if passed == 0 {
            let mut error = last.clone();
            error.cause = error.cause.context(format!(
                "no sample is left of epoch {}: all {left_out} that came here were skipped; the last because",
                epoch + 1
            ));
            return self.control.check(Err(error));
        }
        match (self.announced.per_epoch(), self.all()) {
            (None, Some(samples)) => self.control.check(ledger.hold_against(samples, &self.source, last)),
            _ => Ok(()),
        }
    }
}
