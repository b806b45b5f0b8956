//! The ledger itself: what is held now, what was held at the peak and where that was, and the limit that a charge may not
//! pass. It knows no tensor: who makes one charges it, and drops the charge with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pipeline_contract::events::ByCause;

use super::{Cause, Fault, OutOfMemory, Tried};

/// The sums of one device, shared by all who charge it. Cloning gives another handle to the same sums.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    now: Sums,
    peak: Snapshot,
    place: String,
    limit: Option<u64>,
    /// The most that the device's own allocator was seen to have reserved.
    observed: u64,
    /// The largest piece that was needed in one.
    largest: u64,
    /// How many charges until one is refused on purpose.
    refuse_in: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sums {
    total: u64,
    causes: BTreeMap<Cause, u64>,
    /// Of what is saved, how much for each block.
    blocks: BTreeMap<Arc<str>, u64>,
}

/// What was held at one moment, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// All of it.
    pub total: u64,
    /// By cause; causes that hold nothing are left out.
    pub causes: BTreeMap<Cause, u64>,
    /// The saved activations by block.
    pub blocks: BTreeMap<Arc<str>, u64>,
    /// Where in the network it was, such as `decode.3 backward`.
    pub place: String,
}

impl Snapshot {
    /// The bytes of each cause, by the causes' names in files.
    pub fn by_cause(&self) -> ByCause {
        self.causes.iter().map(|(cause, bytes)| (cause.name(), *bytes)).collect()
    }
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub struct Charge {
    ledger: Ledger,
    cause: Cause,
    block: Option<Arc<str>>,
    bytes: u64,
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        // The sums stay right whatever panicked meanwhile: they are changed in one go.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses charges beyond so many bytes in all, or none.
    pub fn set_limit(&self, limit: Option<u64>) {
        self.book().limit = limit;
    }

    /// Refuses the charge after so many more, once: how tests run out of memory.
    pub fn refuse_in(&self, charges: Option<u64>) {
        self.book().refuse_in = charges;
    }

    /// Says where in the network the following charges are.
    pub fn enter(&self, place: impl FnOnce(&mut String)) {
        let mut book = self.book();
        book.place.clear();
        place(&mut book.place);
    }

    /// Holds `bytes` until the charge is dropped.
    ///
    /// # Errors
    /// [`OutOfMemory`] beyond the limit; nothing is held then.
    pub(crate) fn charge(&self, cause: Cause, bytes: u64) -> Tried<Charge> {
        let mut book = self.book();
        let refused_by = match (book.refuse_in, book.limit) {
            (Some(0), _) => Some("a test".to_owned()),
            (_, Some(limit)) if book.now.total + bytes > limit => Some(format!("the budget of {limit} bytes")),
            _ => None,
        };
        book.refuse_in = book.refuse_in.and_then(|left| left.checked_sub(1));
        if let Some(refused_by) = refused_by {
            return Err(Fault::Memory(book.refusal(bytes, refused_by)));
        }
        book.now.total += bytes;
        *book.now.causes.entry(cause).or_default() += bytes;
        if book.now.total > book.peak.total {
            book.peak = book.snapshot();
        }
        Ok(Charge { ledger: self.clone(), cause, block: None, bytes })
    }

    /// A refusal by somebody who doesn't know what is held and where in the network it was.
    pub(crate) fn refusal(&self, asked: u64, refused_by: String) -> OutOfMemory {
        self.book().refusal(asked, refused_by)
    }

    /// Notes what the device's own allocator says that it has reserved, in bytes.
    pub(crate) fn observe(&self, reserved: u64) {
        let mut book = self.book();
        book.observed = book.observed.max(reserved);
    }

    /// The most that was noted.
    pub(crate) fn observed(&self) -> u64 {
        self.book().observed
    }

    /// Notes that so many bytes are needed in one piece.
    pub(crate) fn need(&self, bytes: u64) {
        let mut book = self.book();
        book.largest = book.largest.max(bytes);
    }

    /// The most that was needed in one piece, in bytes.
    pub fn largest(&self) -> u64 {
        self.book().largest
    }

    /// What is held now.
    pub fn now(&self) -> Snapshot {
        self.book().snapshot()
    }

    /// What was held when it was most.
    pub fn peak(&self) -> Snapshot {
        self.book().peak.clone()
    }
}

impl Book {
    fn refusal(&self, asked: u64, refused_by: String) -> OutOfMemory {
        OutOfMemory { asked, held: self.now.total, place: self.place.clone(), refused_by }
    }

    fn snapshot(&self) -> Snapshot {
        let Sums { total, causes, blocks } = self.now.clone();
        let held = |(key, bytes): (Cause, u64)| (bytes > 0).then_some((key, bytes));
        let blocks = blocks.into_iter().filter(|(_, bytes)| *bytes > 0).collect();
        Snapshot { total, causes: causes.into_iter().filter_map(held).collect(), blocks, place: self.place.clone() }
    }
}

impl Charge {
    /// From now on this is kept for the backward pass of a block.
    pub fn save(&mut self, block: &Arc<str>) {
        self.become_(Cause::Saved, Some(block.clone()));
    }

    /// From now on this is in use.
    pub fn work(&mut self) {
        self.become_(Cause::Working, None);
    }

    fn become_(&mut self, cause: Cause, block: Option<Arc<str>>) {
        let ledger = self.ledger.clone();
        let mut book = ledger.book();
        self.take_off(&mut book.now);
        (self.cause, self.block) = (cause, block);
        book.now.total += self.bytes;
        *book.now.causes.entry(cause).or_default() += self.bytes;
        if let Some(block) = &self.block {
            *book.now.blocks.entry(block.clone()).or_default() += self.bytes;
        }
    }

    fn take_off(&self, sums: &mut Sums) {
        sums.total -= self.bytes;
        if let Some(bytes) = sums.causes.get_mut(&self.cause) {
            *bytes -= self.bytes;
        }
        if let Some(bytes) = self.block.as_ref().and_then(|block| sums.blocks.get_mut(block)) {
            *bytes -= self.bytes;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.take_off(&mut self.ledger.book().now);
    }
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "tests may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_kept_with_its_causes_and_its_place() {
        let ledger = Ledger::default();
        let weights = ledger.charge(Cause::Weights, 100).expect("no limit");
        ledger.enter(|place| place.push_str("down.0 forward"));
        let mut map = ledger.charge(Cause::Working, 30).expect("no limit");
        map.save(&"down.0".into());
        ledger.enter(|place| place.push_str("down.1 forward"));
        drop(ledger.charge(Cause::Working, 20).expect("no limit"));
        drop(map);
        let peak = ledger.peak();
        assert_eq!((peak.total, peak.place.as_str()), (150, "down.1 forward"));
        assert_eq!(peak.causes[&Cause::Saved], 30);
        assert_eq!(peak.blocks["down.0"], 30);
        assert_eq!((ledger.now().total, ledger.now().causes.len()), (100, 1));
        drop(weights);
        assert_eq!(ledger.now().total, 0);
    }

    #[test]
    fn the_limit_and_a_test_refuse_and_nothing_is_held_of_it() {
        let ledger = Ledger::default();
        ledger.set_limit(Some(100));
        let held = ledger.charge(Cause::Working, 80).expect("below the limit");
        let Err(Fault::Memory(short)) = ledger.charge(Cause::Working, 21) else { panic!("21 more than 80 pass 100") };
        assert_eq!((short.asked, short.held), (21, 80));
        assert!(ledger.charge(Cause::Working, 20).is_ok());
        ledger.refuse_in(Some(1));
        assert!(ledger.charge(Cause::Working, 1).is_ok());
        assert!(ledger.charge(Cause::Working, 1).is_err());
        assert!(ledger.charge(Cause::Working, 1).is_ok(), "a test refuses once");
        drop(held);
        assert_eq!(ledger.now().total, 0);
    }
}
