//! The small contract between the engine and the stages: what a stage *kind* declares, what a *running* stage does.
//!
//! It holds no engine, no image and no tensor. A kind is declared once ([`StageKind`]); from that declaration come
//! `pipeline stages`, the JSON Schema, validation and its suggestions. A running stage is one of five things:
//! a [`Source`] that emits the samples of an epoch, a [`Map`] that turns one item into one item on any thread, a [`FlatMap`] that turns one into
//! several, a [`Cache`] that keeps what maps made, or a [`Sequential`] stage that keeps state and sees its items in order.
//!
//! ```
//! use pipeline_contract::{ItemContext, Map, Payload, Result, StageKind};
//!
//! #[derive(Clone)]
//! struct Number(f64);
//! impl Payload for Number {
//!     const NAME: &'static str = "number";
//!     fn bytes(&self) -> u64 { 0 }
//! }
//!
//! struct Double;
//! impl Map for Double {
//!     type In = Number;
//!     type Out = Number;
//!     fn map(&self, input: Number, _: &ItemContext) -> Result<Number> { Ok(Number(input.0 * 2.0)) }
//! }
//!
//! let kind = StageKind::map("double", "doubles a number", |_: (), _| Ok(Double));
//! assert_eq!(kind.output.as_ref().map(|port| port.name()), Some("number"));
//! ```

mod again;
mod cache;
mod content;
mod context;
mod erased;
mod error;
pub mod events;
pub mod fact;
mod facts;
pub mod files;
mod flat_map;
mod inputs;
mod item;
mod kind;
pub mod lost;
mod map;
pub mod memory;
mod metric;
mod option;
mod output;
mod random;
mod registry;
mod role;
mod saved;
mod sequential;
mod settled;
mod source;
mod warning;

pub use again::{again, first_of};
pub use cache::{Cache, Recalled};
pub use content::{Content, Fingerprint, Part, Stored};
pub use context::{Before, BestCheckpoint, BuildContext, ItemContext, PipelineId, SampleCount, is_due, stays_inside};
pub use erased::{ErasedCache, ErasedFlatMap, ErasedMap, ErasedSequential, ErasedSource, Running};
pub use error::{Result, StageError, panic_words};
pub use events::{Event, Events, Fields, NoEvents};
pub use facts::{Checked, Fact, Facts, Finding, Place, Severity};
pub use flat_map::{FlatMap, whole_of};
pub use inputs::{Either, Inputs};
pub use item::{Item, Payload, PortType};
pub use kind::{Join, Lane, StageKind};
pub use map::Map;
pub use metric::{Direction, Metric};
pub use option::{DefaultValue, OnResume, OptionSpec, OptionType, Variant};
pub use output::{Nothing, Output};
pub use random::{Rng, stage_rng};
pub use registry::Registry;
pub use role::Role;
pub use saved::{Buffer, Saved, Shelf};
pub use sequential::{End, Sequential};
pub use settled::Settled;
pub use source::Source;
pub use warning::{Doubt, Warnings};
