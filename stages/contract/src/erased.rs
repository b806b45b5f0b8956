//! Running stages without their types, which is how the engine holds them.
//! Authors don't implement these: declaring a kind with typed stages does.

use std::any::Any;
use std::sync::Arc;

use crate::flat_map::piece_id;
use crate::{
    Cache, End, FlatMap, Inputs, Item, ItemContext, Map, Output, Recalled, Result, Saved, Sequential, Shelf, Source, StageError,
};

/// A [`Source`] without its types, as [`StageKind::build`](crate::StageKind::build) returns it.
///
/// ```
/// use pipeline_contract::{BuildContext, Running, StageKind};
/// # use pipeline_contract::{Output, Payload, Result, Source};
///
/// # #[derive(Clone)]
/// # struct Number(u64);
/// # impl Payload for Number {
/// #     const NAME: &'static str = "number";
/// #     fn bytes(&self) -> u64 { 8 }
/// # }
/// # struct Count(u64);
/// # impl Source for Count {
/// #     type Out = Number;
/// #     fn epoch(&mut self, _: u64, out: &mut Output<'_, Number>) -> Result<()> {
/// #         (1..=self.0).try_for_each(|number| out.emit(number.to_string(), Number(number)))
/// #     }
/// # }
/// // `Count` is a `Source`.
/// let kind = StageKind::source("count", "counts to three", |_: (), _| Ok(Count(3)));
/// let built = kind.build(serde_json::json!({}), &BuildContext::standalone("numbers"))?;
///
/// let mut samples = Vec::new();
/// let Running::Source(mut source) = built else { unreachable!("declared as a source") };
/// source.epoch(0, &mut |item| Ok(samples.push(item.sample.to_string())))?;
/// assert_eq!(samples, ["1", "2", "3"]);
/// # Ok::<(), pipeline_contract::StageError>(())
/// ```
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

/// A [`Map`] without its types, as [`StageKind::build`](crate::StageKind::build) returns it.
///
/// ```
/// use pipeline_contract::{BuildContext, Item, ItemContext, Running, StageKind};
/// # use pipeline_contract::{Map, Payload, Result};
///
/// # #[derive(Clone)]
/// # struct Number(u64);
/// # impl Payload for Number {
/// #     const NAME: &'static str = "number";
/// #     fn bytes(&self) -> u64 { 8 }
/// # }
/// # struct Double;
/// # impl Map for Double {
/// #     type In = Number;
/// #     type Out = Number;
/// #     fn map(&self, input: Number, _: &ItemContext<'_>) -> Result<Number> { Ok(Number(2 * input.0)) }
/// # }
/// // `Double` is a `Map`.
/// let kind = StageKind::map("double", "doubles a number", |_: (), _| Ok(Double));
/// let built = kind.build(serde_json::json!({}), &BuildContext::standalone("double"))?;
///
/// let Running::Map(map) = built else { unreachable!("declared as a map") };
/// let cx = ItemContext { stage: "double", seed: 42, epoch: 0, sample: "a" };
/// let doubled = map.map(Item::new(0, "a", Number(21)), &cx)?;
/// assert_eq!((&*doubled.sample, doubled.clone().take::<Number>()?.0), ("a", 42));
/// # Ok::<(), pipeline_contract::StageError>(())
/// ```
pub trait ErasedMap: Send + Sync {
    /// See [`Map::map`].
    ///
    /// # Errors
    /// As there.
    fn map(&self, item: Item, cx: &ItemContext<'_>) -> Result<Item>;
}

/// A [`FlatMap`] without its types, as [`StageKind::build`](crate::StageKind::build) returns it.
///
/// ```
/// use pipeline_contract::{BuildContext, Item, ItemContext, Running, StageKind};
/// # use pipeline_contract::{FlatMap, Payload, Result};
///
/// # #[derive(Clone)]
/// # struct Number(u64);
/// # impl Payload for Number {
/// #     const NAME: &'static str = "number";
/// #     fn bytes(&self) -> u64 { 8 }
/// # }
/// # struct Halves;
/// # impl FlatMap for Halves {
/// #     type In = Number;
/// #     type Out = Number;
/// #     fn flat_map(&self, input: Number, _: &ItemContext<'_>) -> Result<Vec<Number>> {
/// #         Ok(vec![Number(input.0 / 2), Number(input.0 - input.0 / 2)])
/// #     }
/// # }
/// // `Halves` is a `FlatMap` that makes two of each.
/// let kind = StageKind::flat_map("halves", "cuts a number in two", |_: &()| 2, |_: (), _| Ok(Halves));
/// let options = serde_json::json!({});
/// assert_eq!(kind.pieces(&options), 2);
///
/// let Running::FlatMap(halves) = kind.build(options, &BuildContext::standalone("halves"))? else { unreachable!() };
/// let cx = ItemContext { stage: "halves", seed: 42, epoch: 0, sample: "a" };
/// let pieces = halves.flat_map(Item::new(0, "a", Number(7)), &cx)?;
/// assert_eq!(pieces.iter().map(|item| &*item.sample).collect::<Vec<_>>(), ["a#1", "a#2"]);
/// # Ok::<(), pipeline_contract::StageError>(())
/// ```
pub trait ErasedFlatMap: Send + Sync {
    /// See [`FlatMap::flat_map`]. Gives each piece its id.
    ///
    /// # Errors
    /// As there.
    fn flat_map(&self, item: Item, cx: &ItemContext<'_>) -> Result<Vec<Item>>;
}

/// A [`Cache`] without its types, as [`StageKind::build`](crate::StageKind::build) returns it.
///
/// ```
/// use pipeline_contract::{BuildContext, Item, ItemContext, Recalled, Running, StageKind};
/// # use pipeline_contract::{Cache, Payload, Result};
///
/// # #[derive(Clone)]
/// # struct Number(u64);
/// # impl Payload for Number {
/// #     const NAME: &'static str = "number";
/// #     fn bytes(&self) -> u64 { 8 }
/// # }
/// # struct Nothing;
/// # impl Cache for Nothing {
/// #     type From = Number;
/// #     type Kept = Number;
/// #     type Key = u64;
/// #     fn recall(&self, from: &Number, _: &ItemContext<'_>) -> Result<Recalled<u64, Number>> { Ok(Recalled::Missing(from.0)) }
/// #     fn keep(&self, _: u64, _: &Number, _: &ItemContext<'_>) {}
/// # }
/// // `Nothing` is a `Cache` that keeps nothing.
/// let kind = StageKind::cache("nothing", "keeps nothing", |_: (), _| Ok(Nothing));
/// let built = kind.build(serde_json::json!({}), &BuildContext::standalone("nothing"))?;
///
/// let Running::Cache(cache) = built else { unreachable!("declared as a cache") };
/// let cx = ItemContext { stage: "nothing", seed: 42, epoch: 0, sample: "a" };
/// assert!(matches!(cache.recall(&Item::new(0, "a", Number(7)), &cx)?, Recalled::Missing(_)));
/// # Ok::<(), pipeline_contract::StageError>(())
/// ```
pub trait ErasedCache: Send + Sync {
    /// See [`Cache::recall`].
    ///
    /// # Errors
    /// As there.
    fn recall(&self, from: &Item, cx: &ItemContext<'_>) -> Result<Recalled<Box<dyn Any + Send>, Item>>;
    /// See [`Cache::keep`].
    ///
    /// # Errors
    /// When key and item aren't this cache's, which the type check of the graph rules out.
    fn keep(&self, key: Box<dyn Any + Send>, made: &Item, cx: &ItemContext<'_>) -> Result<()>;
}

/// A [`Sequential`] without its types, as [`StageKind::build`](crate::StageKind::build) returns it.
///
/// ```
/// use pipeline_contract::{BuildContext, End, Item, ItemContext, Running, StageKind};
/// # use pipeline_contract::{Output, Payload, Result, Sequential};
///
/// # #[derive(Clone)]
/// # struct Number(u64);
/// # impl Payload for Number {
/// #     const NAME: &'static str = "number";
/// #     fn bytes(&self) -> u64 { 8 }
/// # }
/// # struct Odd;
/// # impl Sequential for Odd {
/// #     type In = Number;
/// #     type Out = Number;
/// #     fn item(&mut self, input: Number, cx: &ItemContext<'_>, out: &mut Output<'_, Number>) -> Result<()> {
/// #         if input.0 % 2 == 1 { out.emit(cx.sample, input) } else { Ok(()) }
/// #     }
/// # }
/// // `Odd` is a `Sequential` that emits only odd numbers.
/// let kind = StageKind::sequential("odd", "drops even numbers", |_: (), _| Ok(Odd));
/// let built = kind.build(serde_json::json!({}), &BuildContext::standalone("odd"))?;
///
/// let mut emitted = Vec::new();
/// let Running::Sequential(mut stage) = built else { unreachable!("declared as sequential") };
/// for number in [1, 2, 3] {
///     let cx = ItemContext { stage: "odd", seed: 42, epoch: 0, sample: "a" };
///     stage.item(0, Item::new(0, "a", Number(number)), &cx, &mut |item| Ok(emitted.push(item.take::<Number>()?.0)))?;
/// }
/// stage.finish(End::Complete)?;
/// assert_eq!(emitted, [1, 3]);
/// # Ok::<(), pipeline_contract::StageError>(())
/// ```
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

impl<S: FlatMap> ErasedFlatMap for Typed<S> {
    fn flat_map(&self, item: Item, cx: &ItemContext<'_>) -> Result<Vec<Item>> {
        let (epoch, sample) = (item.epoch, item.sample.clone());
        let pieces = self.0.flat_map(item.take()?, cx)?.into_iter().zip(1..);
        Ok(pieces.map(|(payload, piece)| Item::new(epoch, piece_id(&sample, piece), payload)).collect())
    }
}

impl<S: Cache> ErasedCache for Typed<S> {
    fn recall(&self, from: &Item, cx: &ItemContext<'_>) -> Result<Recalled<Box<dyn Any + Send>, Item>> {
        Ok(match self.0.recall(from.get()?, cx)? {
            Recalled::Kept(made) => Recalled::Kept(Item::new(from.epoch, from.sample.clone(), made)),
            Recalled::Missing(key) => Recalled::Missing(Box::new(key)),
        })
    }

    fn keep(&self, key: Box<dyn Any + Send>, made: &Item, cx: &ItemContext<'_>) -> Result<()> {
        let key = key.downcast::<S::Key>().map_err(|_| StageError::new("a key of another cache"))?;
        self.0.keep(*key, made.get()?, cx);
        Ok(())
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
    /// Turns items into several, on any thread.
    FlatMap(Arc<dyn ErasedFlatMap>),
    /// Keeps what the stages before it made, on any thread.
    Cache(Arc<dyn ErasedCache>),
    /// Sees items in order, on one thread.
    Sequential(Box<dyn ErasedSequential>),
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Source(_) => "source",
            Self::Map(_) => "map",
            Self::FlatMap(_) => "flat map",
            Self::Cache(_) => "cache",
            Self::Sequential(_) => "sequential",
        })
    }
}
