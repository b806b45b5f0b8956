//! What a running stage does. Authors write the typed traits; the engine runs the erased ones.

use std::sync::Arc;

use crate::{Item, ItemContext, Payload, PortType, Result, Saved, Shelf, StageError};

/// Emits the samples of one epoch after the other. Runs on a thread of its own, ahead of its consumers by the edges' bounds.
pub trait Source: 'static {
    /// What it emits.
    type Out: Payload;

    /// How many samples each epoch has, where that is known before the first.
    fn samples(&self) -> Option<u64> {
        None
    }

    /// The samples that were found broken while they were listed, with what is wrong: asked once, before the first epoch. They
    /// are not emitted, and [`Self::samples`] doesn't count them.
    fn broken(&mut self) -> Vec<(Arc<str>, StageError)> {
        Vec::new()
    }

    /// Emits every sample of `epoch` (from 0), in the order in which they are to be used.
    ///
    /// # Errors
    /// When a sample can't be listed; and [`StageError::stopped`], handed on from [`Output::emit`], when the run stops.
    fn epoch(&mut self, epoch: u64, out: &mut Output<'_, Self::Out>) -> Result<()>;
}

/// Turns one item into one item, without state, on any thread and in any order; the engine restores the order.
pub trait Map: Send + Sync + 'static {
    /// What it takes.
    type In: Payload;
    /// What it gives.
    type Out: Payload;

    /// Turns one payload into another.
    ///
    /// # Errors
    /// What is wrong with the sample; the engine adds its name and the stage's, and the file's `on_error` says whether the run
    /// ends with it or goes on without the sample.
    fn map(&self, input: Self::In, cx: &ItemContext<'_>) -> Result<Self::Out>;
}

/// Sees its items in order, on one thread, and keeps state between them.
///
/// Call sequence: for each epoch `item()`* then `epoch_end()`; `finish()` once, at the end or when the run is interrupted
/// (not when it fails). `restore()` comes before all others, where a run goes on from what `save()` gave.
pub trait Sequential: 'static {
    /// What it takes: a payload, or an [`Either`] of two for a stage with two input ports.
    type In: Inputs;
    /// What it gives; [`Nothing`] for a sink.
    type Out: Payload;

    /// Takes one item; may emit any number.
    ///
    /// # Errors
    /// What went wrong; the run ends with it. On a CPU lane an error that is [`StageError::of_sample`] may leave out the item
    /// instead.
    fn item(&mut self, input: Self::In, cx: &ItemContext<'_>, out: &mut Output<'_, Self::Out>) -> Result<()>;

    /// All items of `epoch` have been seen; what is held back for it is emitted now.
    ///
    /// # Errors
    /// What went wrong; the run ends with it.
    fn epoch_end(&mut self, _epoch: u64, _out: &mut Output<'_, Self::Out>) -> Result<()> {
        Ok(())
    }

    /// No more items will come.
    ///
    /// # Errors
    /// What went wrong; the run ends with it.
    fn finish(&mut self, _end: End) -> Result<()> {
        Ok(())
    }

    /// All that decides what it does from here on; called between two items. Stages of the device's lane that keep state must
    /// save it, or a run that goes on from there is not the run that it was.
    ///
    /// # Errors
    /// What a device or the stage's own values refuse; the run ends with it.
    fn save(&mut self) -> Result<Saved> {
        Ok(Saved::default())
    }

    /// Takes up what [`Self::save`] gave, before the first item. Stages are restored in the order of their lane.
    ///
    /// # Errors
    /// When that is of another stage.
    fn restore(&mut self, _saved: Saved, _shelf: &mut Shelf) -> Result<()> {
        Ok(())
    }
}

/// Why no more items come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All epochs are done.
    Complete,
    /// The user stopped the run; an epoch may be incomplete.
    Interrupted,
}

/// What a [`Sequential`] stage takes in. Implemented by every [`Payload`] (one port) and by [`Either`] (two ports).
pub trait Inputs: Sized + 'static {
    /// The types of the input ports, in the order of `needs:`.
    fn ports() -> Vec<PortType>;

    /// Unwraps an item that came in at `port`.
    ///
    /// # Errors
    /// When the item is not of the port's type, which the type check of the graph rules out.
    fn from_item(port: usize, item: Item) -> Result<Self>;
}

impl<T: Payload> Inputs for T {
    fn ports() -> Vec<PortType> {
        vec![PortType::of::<T>()]
    }

    fn from_item(_: usize, item: Item) -> Result<Self> {
        item.take()
    }
}

/// An item of one of two input ports.
#[derive(Debug, Clone)]
pub enum Either<A, B> {
    /// From the first entry of `needs:`.
    First(A),
    /// From the second entry of `needs:`.
    Second(B),
}

impl<A: Payload, B: Payload> Inputs for Either<A, B> {
    fn ports() -> Vec<PortType> {
        vec![PortType::of::<A>(), PortType::of::<B>()]
    }

    fn from_item(port: usize, item: Item) -> Result<Self> {
        match port {
            0 => item.take().map(Self::First),
            _ => item.take().map(Self::Second),
        }
    }
}

/// Where a stage's items go: to every consumer of its output port.
pub struct Output<'a, T> {
    epoch: u64,
    sink: &'a mut dyn FnMut(Item) -> Result<()>,
    payload: std::marker::PhantomData<fn(T)>,
}

impl<'a, T: Payload> Output<'a, T> {
    /// An output that hands its items to `sink`; the engine makes these, and tests of single stages do.
    pub fn new(epoch: u64, sink: &'a mut dyn FnMut(Item) -> Result<()>) -> Self {
        Self { epoch, sink, payload: std::marker::PhantomData }
    }

    /// Emits one payload that belongs to `sample`; waits while the edge is full.
    ///
    /// # Errors
    /// [`StageError::stopped`] when the run stops; hand it on with `?`.
    pub fn emit(&mut self, sample: impl Into<Arc<str>>, payload: T) -> Result<()> {
        (self.sink)(Item::new(self.epoch, sample, payload))
    }
}

/// A [`Source`] without its types.
pub trait ErasedSource {
    /// See [`Source::samples`].
    fn samples(&self) -> Option<u64>;
    /// See [`Source::broken`].
    fn broken(&mut self) -> Vec<(Arc<str>, StageError)>;
    /// See [`Source::epoch`].
    ///
    /// # Errors
    /// As there.
    fn epoch(&mut self, epoch: u64, sink: &mut dyn FnMut(Item) -> Result<()>) -> Result<()>;
}

/// A [`Map`] without its types.
pub trait ErasedMap: Send + Sync {
    /// See [`Map::map`].
    ///
    /// # Errors
    /// As there.
    fn map(&self, item: Item, cx: &ItemContext<'_>) -> Result<Item>;
}

/// A [`Sequential`] without its types.
pub trait ErasedSequential {
    /// See [`Sequential::item`].
    ///
    /// # Errors
    /// As there.
    fn item(&mut self, port: usize, item: Item, cx: &ItemContext<'_>, sink: &mut dyn FnMut(Item) -> Result<()>) -> Result<()>;
    /// See [`Sequential::epoch_end`].
    ///
    /// # Errors
    /// As there.
    fn epoch_end(&mut self, epoch: u64, sink: &mut dyn FnMut(Item) -> Result<()>) -> Result<()>;
    /// See [`Sequential::finish`].
    ///
    /// # Errors
    /// As there.
    fn finish(&mut self, end: End) -> Result<()>;
    /// See [`Sequential::save`].
    ///
    /// # Errors
    /// As there.
    fn save(&mut self) -> Result<Saved>;
    /// See [`Sequential::restore`].
    ///
    /// # Errors
    /// As there.
    fn restore(&mut self, saved: Saved, shelf: &mut Shelf) -> Result<()>;
}

pub(crate) struct Typed<S>(pub(crate) S);

impl<S: Source> ErasedSource for Typed<S> {
    fn samples(&self) -> Option<u64> {
        self.0.samples()
    }

    fn broken(&mut self) -> Vec<(Arc<str>, StageError)> {
        self.0.broken()
    }

    fn epoch(&mut self, epoch: u64, sink: &mut dyn FnMut(Item) -> Result<()>) -> Result<()> {
        self.0.epoch(epoch, &mut Output::new(epoch, sink))
    }
}

impl<S: Map> ErasedMap for Typed<S> {
    fn map(&self, item: Item, cx: &ItemContext<'_>) -> Result<Item> {
        let (epoch, sample) = (item.epoch, item.sample.clone());
        Ok(Item::new(epoch, sample, self.0.map(item.take()?, cx)?))
    }
}

impl<S: Sequential> ErasedSequential for Typed<S> {
    fn item(&mut self, port: usize, item: Item, cx: &ItemContext<'_>, sink: &mut dyn FnMut(Item) -> Result<()>) -> Result<()> {
        let epoch = item.epoch;
        self.0.item(S::In::from_item(port, item)?, cx, &mut Output::new(epoch, sink))
    }

    fn epoch_end(&mut self, epoch: u64, sink: &mut dyn FnMut(Item) -> Result<()>) -> Result<()> {
        self.0.epoch_end(epoch, &mut Output::new(epoch, sink))
    }

    fn finish(&mut self, end: End) -> Result<()> {
        self.0.finish(end)
    }

    fn save(&mut self) -> Result<Saved> {
        self.0.save()
    }

    fn restore(&mut self, saved: Saved, shelf: &mut Shelf) -> Result<()> {
        self.0.restore(saved, shelf)
    }
}

/// A built stage, ready to run.
pub enum Running {
    /// Emits samples.
    Source(Box<dyn ErasedSource>),
    /// Maps items, on any thread.
    Map(Arc<dyn ErasedMap>),
    /// Sees items in order, on one thread.
    Sequential(Box<dyn ErasedSequential>),
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Source(_) => "source",
            Self::Map(_) => "map",
            Self::Sequential(_) => "sequential",
        })
    }
}

/// The output type of stages that never emit.
#[derive(Debug, Clone)]
pub enum Nothing {}

impl Payload for Nothing {
    const NAME: &'static str = "nothing";
    fn bytes(&self) -> u64 {
        match *self {}
    }
}

impl From<std::io::Error> for StageError {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}
