//! The ledger: the bytes held now, the bytes held at the peak and where that was, and the limit for charges. It doesn't know
//! tensors: the code that allocates a tensor takes a charge and drops it with the tensor.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pipeline_contract::events::ByCause;

use super::{Cause, Fault, OutOfMemory, Tried};

/// The memory sums of one device, shared by everything that allocates on it. Cloning gives another handle to the same sums.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    now: Sums,
    peak: Snapshot,
    place: String,
    limit: Option<u64>,
    /// The most bytes that the device's own allocator was seen to have reserved.
    observed: u64,
    /// The largest single allocation.
    largest: u64,
    /// The number of charges before one is refused on purpose.
    refuse_in: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sums {
    total: u64,
    causes: BTreeMap<Cause, u64>,
    /// Bytes of saved activations by block.
    blocks: BTreeMap<Arc<str>, u64>,
}

/// The bytes held at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Total bytes.
    pub total: u64,
    /// By cause; causes that hold nothing are left out.
    pub causes: BTreeMap<Cause, u64>,
    /// The saved activations by block.
    pub blocks: BTreeMap<Arc<str>, u64>,
    /// Where in the network that moment was, such as `decode.3 backward`.
    pub place: String,
}

impl Snapshot {
    /// The bytes by cause, under the causes' names in files.
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
        // The sums stay right even if a thread panicked, because each change is made in one go.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the limit on the total bytes; with `None` no charge is refused.
    pub fn set_limit(&self, limit: Option<u64>) {
        self.book().limit = limit;
    }

    /// Refuses one charge after this many more succeed, so that tests can run out of memory.
    pub fn refuse_in(&self, charges: Option<u64>) {
        self.book().refuse_in = charges;
    }

    /// Sets the place in the network for the following charges.
    pub fn enter(&self, place: impl FnOnce(&mut String)) {
        let mut book = self.book();
        book.place.clear();
        place(&mut book.place);
    }

    /// Holds `bytes` until the charge is dropped.
    ///
    /// # Errors
    /// [`OutOfMemory`] if the charge would exceed the limit; nothing is held then.
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

    /// Describes a refusal by a caller that doesn't know how many bytes are held and where in the network it happened.
    pub(crate) fn refusal(&self, asked: u64, refused_by: String) -> OutOfMemory {
        self.book().refusal(asked, refused_by)
    }

    /// Records the bytes that the device's own allocator reports as reserved.
    pub(crate) fn observe(&self, reserved: u64) {
        let mut book = self.book();
        book.observed = book.observed.max(reserved);
    }

    /// The most reserved bytes recorded by `observe`.
    pub(crate) fn observed(&self) -> u64 {
        self.book().observed
    }

    /// Records that an allocation of `bytes` is needed in one piece.
    pub(crate) fn need(&self, bytes: u64) {
        let mut book = self.book();
        book.largest = book.largest.max(bytes);
    }

    /// The largest single allocation needed, in bytes.
    pub fn largest(&self) -> u64 {
        self.book().largest
    }

    /// The bytes held now.
    pub fn now(&self) -> Snapshot {
        self.book().snapshot()
    }

    /// The bytes held at the peak.
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
    /// From now on the bytes count as saved for the backward pass of a block.
    pub fn save(&mut self, block: &Arc<str>) {
        self.become_(Cause::Saved, Some(block.clone()));
    }

    /// From now on the bytes count as working memory.
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
