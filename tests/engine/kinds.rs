//! Stage kinds for tests of the engine, over one payload type, so that any stage can follow any other.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline::contract::{
    Either, End, FlatMap, ItemContext, Map, Nothing, OptionSpec, OptionType, Output, Payload, Result, Saved, Sequential, Shelf,
    Source, StageError, StageKind,
};
use serde::Deserialize;

/// A packet that says where it has been.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet(pub String, pub u64);

impl Payload for Packet {
    const NAME: &'static str = "packet";
    fn bytes(&self) -> u64 {
        self.1
    }
}

/// What the sinks saw: (sink, epoch, packet), and `finish`.
pub type Seen = Arc<Mutex<Vec<(String, u64, String)>>>;

#[derive(Deserialize)]
struct CountOptions {
    samples: u64,
    bytes: u64,
}

struct Count(CountOptions);

impl Source for Count {
    type Out = Packet;
    fn epoch(&mut self, epoch: u64, out: &mut Output<'_, Packet>) -> Result<()> {
        (0..self.0.samples)
            .try_for_each(|index| out.emit(format!("s{index}"), Packet(format!("e{epoch}s{index}"), self.0.bytes)))
    }
}

/// Emits `samples` packets an epoch.
pub fn count() -> StageKind {
    StageKind::source("count", "counts", |options, _| Ok(Count(options)))
        .option(OptionSpec::required("samples", OptionType::at_least(0), "how many"))
        .option(OptionSpec::new("bytes", OptionType::at_least(0), 10, "bytes each"))
}

#[derive(Deserialize)]
struct MarkOptions {
    delay_micros: u64,
    #[serde(default)]
    fail: Option<String>,
    #[serde(default)]
    panic: Option<String>,
}

struct Mark(MarkOptions);

impl Map for Mark {
    type In = Packet;
    type Out = Packet;
    fn map(&self, input: Packet, cx: &ItemContext<'_>) -> Result<Packet> {
        use rand::RngExt;
        let draw: u64 = cx.rng().random();
        if self.0.delay_micros > 0 {
            std::thread::sleep(Duration::from_micros(draw % self.0.delay_micros));
        }
        if self.0.fail.as_deref() == Some(cx.sample) {
            return Err(StageError::new("rubbish in the file"));
        }
        assert!(self.0.panic.as_deref() != Some(cx.sample), "a bug in mark");
        Ok(Packet(format!("{}({},{})", cx.stage, input.0, draw % 100), input.1))
    }
}

/// Marks a packet with the stage's id and a random number, after a random delay.
pub fn mark() -> StageKind {
    StageKind::map("mark", "marks", |options, _| Ok(Mark(options)))
}

#[derive(Deserialize)]
struct CutOptions {
    pieces: u64,
}

struct Cut(CutOptions);

impl FlatMap for Cut {
    type In = Packet;
    type Out = Packet;
    fn flat_map(&self, input: Packet, cx: &ItemContext<'_>) -> Result<Vec<Packet>> {
        Ok((1..=self.0.pieces).map(|piece| Packet(format!("{}.{piece}({})", cx.stage, input.0), input.1)).collect())
    }
}

/// Cuts a packet into `pieces`.
pub fn cut() -> StageKind {
    StageKind::flat_map("cut", "cuts", |options: &CutOptions| options.pieces, |options, _| Ok(Cut(options)))
}

/// Says that it cuts into three, and cuts into two.
pub fn miscut() -> StageKind {
    StageKind::flat_map("cut", "cuts", |(): &()| 3, |(): (), _| Ok(Cut(CutOptions { pieces: 2 })))
}

#[derive(Deserialize)]
struct PackOptions {
    size: usize,
}

struct Pack {
    size: usize,
    held: Vec<Packet>,
    /// The sample that a pack is called by: the last one in it, or `pack`.
    called: Option<String>,
}

impl Pack {
    fn flush(&mut self, out: &mut Output<'_, Packet>) -> Result<()> {
        let text = self.held.iter().map(|packet| packet.0.as_str()).collect::<Vec<_>>().join("+");
        let bytes = self.held.drain(..).map(|packet| packet.1).sum();
        out.emit(self.called.as_deref().unwrap_or("pack"), Packet(format!("[{text}]"), bytes))
    }
}

impl Sequential for Pack {
    type In = Packet;
    type Out = Packet;
    fn item(&mut self, input: Packet, cx: &ItemContext<'_>, out: &mut Output<'_, Packet>) -> Result<()> {
        self.held.push(input);
        self.called.iter_mut().for_each(|called| cx.sample.clone_into(called));
        if self.held.len() == self.size { self.flush(out) } else { Ok(()) }
    }
    fn epoch_end(&mut self, _: u64, out: &mut Output<'_, Packet>) -> Result<()> {
        if self.held.is_empty() { Ok(()) } else { self.flush(out) }
    }
    fn save(&mut self) -> Result<Saved> {
        let mut saved = Saved::default();
        saved.set("held", self.held.iter().map(|packet| (&packet.0, packet.1)).collect::<Vec<_>>())?;
        Ok(saved)
    }
    fn restore(&mut self, saved: Saved, _: &mut Shelf) -> Result<()> {
        self.held = saved.get::<Vec<(String, u64)>>("held")?.into_iter().map(|(text, bytes)| Packet(text, bytes)).collect();
        Ok(())
    }
}

/// Packs `size` packets into one; the epoch's tail is shorter.
pub fn pack() -> StageKind {
    StageKind::sequential("pack", "packs", |options: PackOptions, _| {
        Ok(Pack { size: options.size, held: Vec::new(), called: None })
    })
}

/// As `pack`, and says that it holds nothing back when it emits.
pub fn gather() -> StageKind {
    StageKind::sequential("gather", "packs", |options: PackOptions, _| {
        Ok(Pack { size: options.size, held: Vec::new(), called: Some(String::new()) })
    })
    .gathers()
}

struct Join;

impl Sequential for Join {
    type In = Either<Packet, Packet>;
    type Out = Packet;
    fn item(&mut self, input: Self::In, cx: &ItemContext<'_>, out: &mut Output<'_, Packet>) -> Result<()> {
        let (port, packet) = match input {
            Either::First(packet) => (0, packet),
            Either::Second(packet) => (1, packet),
        };
        out.emit(cx.sample, Packet(format!("{port}{}", packet.0), packet.1))
    }
}

/// Passes on the packets of two inputs, alternating, marked with the port.
pub fn join() -> StageKind {
    StageKind::sequential("join", "joins", |(): (), _| Ok(Join))
}

/// As `join`, but in each epoch all of the first input and then all of the second; on the device's lane.
pub fn after() -> StageKind {
    StageKind::device("after", "joins one epoch after the other", |(): (), _| Ok(Join)).join(pipeline::contract::Join::InTurn)
}

/// As `pack`, on the device's lane.
pub fn train() -> StageKind {
    StageKind::device("train", "packs on the device", |options: PackOptions, _| {
        Ok(Pack { size: options.size, held: Vec::new(), called: None })
    })
}

struct Collect {
    seen: Seen,
    stage: String,
    delay_micros: u64,
}

impl Sequential for Collect {
    type In = Packet;
    type Out = Nothing;
    fn item(&mut self, input: Packet, cx: &ItemContext<'_>, _: &mut Output<'_, Nothing>) -> Result<()> {
        if self.delay_micros > 0 {
            std::thread::sleep(Duration::from_micros(self.delay_micros));
        }
        self.seen.lock().unwrap().push((self.stage.clone(), cx.epoch, input.0));
        Ok(())
    }
    fn finish(&mut self, end: End) -> Result<()> {
        self.seen.lock().unwrap().push((self.stage.clone(), u64::MAX, format!("{end:?}")));
        Ok(())
    }
}

#[derive(Deserialize)]
struct CollectOptions {
    #[serde(default)]
    delay_micros: u64,
}

/// Remembers what it sees.
pub fn collect(seen: Seen) -> StageKind {
    StageKind::sequential("collect", "collects", move |options: CollectOptions, cx| {
        Ok(Collect { seen: seen.clone(), stage: cx.stage.clone(), delay_micros: options.delay_micros })
    })
}

struct Remember {
    seen: Seen,
    stage: String,
    texts: Vec<String>,
}

impl Sequential for Remember {
    type In = Packet;
    type Out = Nothing;
    fn item(&mut self, input: Packet, _: &ItemContext<'_>, _: &mut Output<'_, Nothing>) -> Result<()> {
        self.texts.push(input.0);
        Ok(())
    }
    fn epoch_end(&mut self, epoch: u64, _: &mut Output<'_, Nothing>) -> Result<()> {
        self.texts.push(format!("end of {epoch}"));
        Ok(())
    }
    fn finish(&mut self, _: End) -> Result<()> {
        let texts = self.texts.drain(..).map(|text| (self.stage.clone(), 0, text));
        self.seen.lock().unwrap().extend(texts);
        Ok(())
    }
    fn save(&mut self) -> Result<Saved> {
        let mut saved = Saved::default();
        saved.set("texts", &self.texts)?;
        Ok(saved)
    }
    fn restore(&mut self, saved: Saved, _: &mut Shelf) -> Result<()> {
        self.texts = saved.get("texts")?;
        Ok(())
    }
}

/// Remembers what it sees on the device's lane, and saves that; tells it all at the end.
pub fn remember(seen: Seen) -> StageKind {
    StageKind::device("remember", "remembers", move |(): (), cx| {
        Ok(Remember { seen: seen.clone(), stage: cx.stage.clone(), texts: Vec::new() })
    })
}

/// As `collect`, on the device's lane.
pub fn collect_on_device(seen: Seen) -> StageKind {
    StageKind::device("collect_on_device", "collects on the device", move |options: CollectOptions, cx| {
        Ok(Collect { seen: seen.clone(), stage: cx.stage.clone(), delay_micros: options.delay_micros })
    })
}
