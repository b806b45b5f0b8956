//! A stage kind: the one declaration from which validation, schema, help and the running stage come.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::erased::Typed;
use crate::{
    BestCheckpoint, BuildContext, Cache, Checked, Content, Facts, FlatMap, Inputs, Map, Metric, Nothing, OptionSpec, PortType,
    Result, Role, Running, Sequential, Source, StageError,
};

/// On which thread or pool a stage runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A source: on a separate thread.
    Source,
    /// On the pool of CPU workers, many items at a time.
    Workers,
    /// One item at a time, in order, on a CPU thread.
    Sequential,
    /// One item at a time, in order, on the one thread of the device.
    Device,
}

/// How a stage with several inputs reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// One item of each, alternating: the k-th of the first, the k-th of the second, ...
    Zip,
    /// In each epoch all of the first entry of `needs:`, then all of the second: what hangs off an epoch's end.
    InTurn,
}

type Build = dyn Fn(Value, &BuildContext) -> Result<Running> + Send + Sync;
type Pieces = dyn Fn(&Value) -> Result<u64> + Send + Sync;
type Draws = dyn Fn(&Value) -> Result<bool> + Send + Sync;
type Contents = dyn Fn(Value, &BuildContext) -> Result<Vec<Content>> + Send + Sync;
type Check = dyn Fn(&Value, &[Facts]) -> Result<Checked> + Send + Sync;
type OnBest = dyn Fn(Value, &BuildContext, &BestCheckpoint) -> Result<()> + Send + Sync;
type Holds = dyn Fn(&Value, &[Facts]) -> u64 + Send + Sync;

/// A kind of stage: name, doc, role, options, ports, lane, example, and how to check and build one.
#[derive(Clone)]
pub struct StageKind {
    /// The name in `use:`; transforms are verbs, sources and sinks nouns.
    pub name: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
    /// What it is in a training; `None` where nothing looks for it.
    pub role: Option<Role>,
    /// What an evaluator measures; the first is the one that the best checkpoint goes by unless the file says otherwise.
    pub metrics: Vec<Metric>,
    /// Where it runs.
    pub lane: Lane,
    /// The types of its inputs, in the order of `needs:`.
    pub inputs: Vec<PortType>,
    /// How several inputs are read.
    pub join: Join,
    /// The type of what it emits; `None` for a sink.
    pub output: Option<PortType>,
    /// True when the output may be left unused.
    pub may_end: bool,
    /// True of a sequential stage that emits at most one item for each that it takes and holds nothing back when it does.
    pub gathers: bool,
    /// Of a [`Cache`](crate::Cache), the type that the source before it must emit.
    pub caches: Option<PortType>,
    /// Its options.
    pub options: Vec<OptionSpec>,
    /// A stage of this kind as it stands in a file, in YAML, one list entry.
    pub example: &'static str,
    pieces: Option<Arc<Pieces>>,
    draws: Option<Arc<Draws>>,
    contents: Option<Arc<Contents>>,
    check: Option<Arc<Check>>,
    holds: Option<Arc<Holds>>,
    on_best: Option<Arc<OnBest>>,
    build: Arc<Build>,
}

impl StageKind {
    /// Declares a source.
    pub fn source<O, S>(
        name: &'static str,
        doc: &'static str,
        build: impl Fn(O, &BuildContext) -> Result<S> + Send + Sync + 'static,
    ) -> Self
    where
        O: DeserializeOwned,
        S: Source,
    {
        let build = typed(build, |stage| Running::Source(Box::new(Typed(stage))));
        Self::declare(name, doc, Lane::Source, Vec::new(), Some(PortType::of::<S::Out>()), build).role(Role::Source)
    }

    /// Declares a stateless stage that runs on the CPU workers.
    pub fn map<O, S>(
        name: &'static str,
        doc: &'static str,
        build: impl Fn(O, &BuildContext) -> Result<S> + Send + Sync + 'static,
    ) -> Self
    where
        O: DeserializeOwned,
        S: Map,
    {
        let build = typed(build, |stage| Running::Map(Arc::new(Typed(stage))));
        let inputs = vec![PortType::of::<S::In>()];
        Self::declare(name, doc, Lane::Workers, inputs, Some(PortType::of::<S::Out>()), build)
    }

    /// Declares a stateless stage that runs on the CPU workers and makes `pieces` items of each one; at least 1.
    ///
    /// Its check multiplies [`fact::SAMPLES`](crate::fact::SAMPLES), where that is known.
    pub fn flat_map<O, S>(
        name: &'static str,
        doc: &'static str,
        pieces: impl Fn(&O) -> u64 + Send + Sync + 'static,
        build: impl Fn(O, &BuildContext) -> Result<S> + Send + Sync + 'static,
    ) -> Self
    where
        O: DeserializeOwned,
        S: FlatMap,
    {
        let build = typed(build, |stage| Running::FlatMap(Arc::new(Typed(stage))));
        let inputs = vec![PortType::of::<S::In>()];
        let pieces: Arc<Pieces> = Arc::new(move |options| Ok(pieces(&parse::<O>(options.clone())?)));
        let kind = Self::declare(name, doc, Lane::Workers, inputs, Some(PortType::of::<S::Out>()), build);
        Self { pieces: Some(pieces), ..kind }
    }

    /// Declares a stage that keeps what the maps before it made of a sample. It follows them on the lane of CPU workers that begins at the sample's
    /// source.
    pub fn cache<O, S>(
        name: &'static str,
        doc: &'static str,
        build: impl Fn(O, &BuildContext) -> Result<S> + Send + Sync + 'static,
    ) -> Self
    where
        O: DeserializeOwned,
        S: Cache,
    {
        let build = typed(build, |stage| Running::Cache(Arc::new(Typed(stage))));
        let kept = PortType::of::<S::Kept>();
        let kind = Self::declare(name, doc, Lane::Workers, vec![kept], Some(kept), build);
        Self { caches: Some(PortType::of::<S::From>()), ..kind }
    }

    /// Declares a stage that sees its items in order on one CPU thread.
    pub fn sequential<O, S>(
        name: &'static str,
        doc: &'static str,
        build: impl Fn(O, &BuildContext) -> Result<S> + Send + Sync + 'static,
    ) -> Self
    where
        O: DeserializeOwned,
        S: Sequential,
    {
        let build = typed(build, |stage| Running::Sequential(Box::new(Typed(stage))));
        let output = PortType::of::<S::Out>();
        let output = (output != PortType::of::<Nothing>()).then_some(output);
        Self::declare(name, doc, Lane::Sequential, S::In::ports(), output, build)
    }

    /// Declares a stage that sees its items in order on the device's one thread.
    pub fn device<O, S>(
        name: &'static str,
        doc: &'static str,
        build: impl Fn(O, &BuildContext) -> Result<S> + Send + Sync + 'static,
    ) -> Self
    where
        O: DeserializeOwned,
        S: Sequential,
    {
        Self { lane: Lane::Device, ..Self::sequential(name, doc, build) }
    }

    fn declare(
        name: &'static str,
        doc: &'static str,
        lane: Lane,
        inputs: Vec<PortType>,
        output: Option<PortType>,
        build: Arc<Build>,
    ) -> Self {
        let (options, example) = (Vec::new(), "");
        Self {
            name,
            doc,
            role: None,
            metrics: Vec::new(),
            lane,
            inputs,
            join: Join::Zip,
            may_end: output.is_none(),
            gathers: false,
            draws: None,
            caches: None,
            output,
            options,
            example,
            pieces: None,
            contents: None,
            check: None,
            holds: None,
            on_best: None,
            build,
        }
    }

    /// Says what it is in a training.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    /// Says what an evaluator measures, the most telling first: the names of the figures in its `eval` events.
    #[must_use]
    pub fn metrics(mut self, metrics: impl Into<Vec<Metric>>) -> Self {
        self.metrics = metrics.into();
        self
    }

    /// Adds an option.
    #[must_use]
    pub fn option(mut self, option: OptionSpec) -> Self {
        self.options.push(option);
        self
    }

    /// Sets the example: one entry of `stages:`, in YAML.
    #[must_use]
    pub fn example(mut self, yaml: &'static str) -> Self {
        self.example = yaml;
        self
    }

    /// Says how several inputs are read (default: [`Join::Zip`]).
    #[must_use]
    pub fn join(mut self, join: Join) -> Self {
        self.join = join;
        self
    }

    /// Says that the output may be left unused.
    #[must_use]
    pub fn may_end(mut self) -> Self {
        self.may_end = true;
        self
    }

    /// Says that a sequential stage emits at most one item for each that it takes, and holds nothing back when it does (`batch`), but
    /// for what it has settled for the whole run ([`crate::Settled`]); and that its item's sample ends with the last one that went into it.
    /// Then a run that resumes needn't recompute what went before.
    #[must_use]
    pub fn gathers(mut self) -> Self {
        self.gathers = true;
        self
    }

    /// Says with which options a stateless stage draws: of the same item it makes another one in another epoch, so a
    /// [`Cache`](crate::Cache) can't stand behind it. A kind without this never does.
    #[must_use]
    pub fn draws<O: DeserializeOwned>(mut self, draws: impl Fn(&O) -> bool + Send + Sync + 'static) -> Self {
        self.draws = Some(Arc::new(move |options| Ok(draws(&parse::<O>(options.clone())?))));
        self
    }

    /// Whether a stage with these options makes another item of the same one in another epoch.
    pub fn is_random(&self, options: &Value) -> bool {
        // Options that don't fit the declaration are an error of `build`.
        self.draws.as_ref().is_some_and(|draws| draws(options).unwrap_or(true))
    }

    /// Adds a check of the options against each other and against what is known of the inputs. It also says what is known of
    /// the output; without it, the facts of the first input are handed on.
    #[must_use]
    pub fn check<O: DeserializeOwned>(mut self, check: impl Fn(&O, &[Facts]) -> Checked + Send + Sync + 'static) -> Self {
        self.check = Some(Arc::new(move |options, inputs| Ok(check(&parse::<O>(options.clone())?, inputs))));
        self
    }

    /// Says what a stage holds at most of the host's memory beside its items, in bytes, from its options and what is known of its inputs: for the
    /// plan. Of a stage on the CPU workers it is what each of them holds.
    #[must_use]
    pub fn holds(mut self, holds: impl Fn(&Value, &[Facts]) -> u64 + Send + Sync + 'static) -> Self {
        self.holds = Some(Arc::new(holds));
        self
    }

    /// What a stage of this kind with these options holds at most of the host's memory beside its items, in bytes.
    pub fn held(&self, options: &Value, inputs: &[Facts]) -> u64 {
        self.holds.as_ref().map_or(0, |holds| holds(options, inputs))
    }

    /// Says what a stage makes of the run's best checkpoint once the run has ended, however it ended. It isn't called where none was kept.
    #[must_use]
    pub fn on_best<O: DeserializeOwned>(
        mut self,
        on_best: impl Fn(O, &BuildContext, &BestCheckpoint) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.on_best = Some(Arc::new(move |options, cx, best| on_best(parse(options)?, cx, best)));
        self
    }

    /// Hands a stage of this kind the best checkpoint of a run that has ended.
    ///
    /// # Errors
    /// What the stage can't do with it.
    pub fn take_best(&self, options: Value, cx: &BuildContext, best: &BestCheckpoint) -> Result<()> {
        self.on_best.as_ref().map_or(Ok(()), |on_best| on_best(options, cx, best))
    }

    /// Whether a stage of this kind makes something of the best checkpoint.
    pub fn takes_best(&self) -> bool {
        self.on_best.is_some()
    }

    /// Says what the samples of a source are made of, so that a run can refuse test data that it is trained on. A source
    /// without this isn't compared with any other.
    #[must_use]
    pub fn contents<O: DeserializeOwned>(
        mut self,
        contents: impl Fn(O, &BuildContext) -> Result<Vec<Content>> + Send + Sync + 'static,
    ) -> Self {
        self.contents = Some(Arc::new(move |options, cx| contents(parse(options)?, cx)));
        self
    }

    /// What the samples of a source are made of, from options that fit the declared types, with the defaults filled in. `None` where
    /// the kind doesn't say. Reads no part.
    ///
    /// # Errors
    /// When its samples can't be listed; a run of the source fails with the same.
    pub fn list_contents(&self, options: Value, cx: &BuildContext) -> Result<Option<Vec<Content>>> {
        self.contents.as_ref().map(|contents| contents(options, cx)).transpose()
    }

    /// Runs the check on options that fit the declared types, with the defaults filled in.
    ///
    /// # Errors
    /// When the kind's declaration and its options type disagree: a bug of the kind.
    pub fn run_check(&self, options: &Value, inputs: &[Facts]) -> Result<Checked> {
        match &self.check {
            Some(check) => check(options, inputs),
            None => Ok(Checked::facts(inputs.first().cloned().unwrap_or_default())),
        }
    }

    /// How many items a stage with these options makes of each that it takes: 1 unless it is a [`FlatMap`].
    pub fn pieces(&self, options: &Value) -> u64 {
        // Options that don't fit the declaration are an error of `build`.
        self.pieces.as_ref().and_then(|pieces| pieces(options).ok()).unwrap_or(1).max(1)
    }

    /// Whether it is a [`FlatMap`], whose items have ids of their own.
    pub fn is_flat_map(&self) -> bool {
        self.pieces.is_some()
    }

    /// Builds a running stage from options that fit the declared types, with the defaults filled in.
    ///
    /// # Errors
    /// What the stage can't do with these options on this machine.
    pub fn build(&self, options: Value, cx: &BuildContext) -> Result<Running> {
        (self.build)(options, cx)
    }
}

impl fmt::Debug for StageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} -> {:?}", self.name, self.inputs, self.output)
    }
}

fn parse<O: DeserializeOwned>(options: Value) -> Result<O> {
    // `()` stands for "no options", for which serde wants null.
    let options = match &options {
        Value::Object(map) if map.is_empty() && std::mem::size_of::<O>() == 0 => Value::Null,
        _ => options,
    };
    serde_json::from_value(options).map_err(|error| StageError::new(format!("options don't fit their declaration: {error}")))
}

fn typed<O, S>(
    build: impl Fn(O, &BuildContext) -> Result<S> + Send + Sync + 'static,
    wrap: impl Fn(S) -> Running + Send + Sync + 'static,
) -> Arc<Build>
where
    O: DeserializeOwned,
{
    Arc::new(move |options, cx| build(parse(options)?, cx).map(&wrap))
}
