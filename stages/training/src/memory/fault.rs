//! Why work on the device stopped: for want of memory, which a smaller setting mends, or for good.

use std::fmt;

use pipeline_contract::StageError;

/// A tensor that couldn't be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfMemory {
    /// What was asked for, in bytes; 0 when the device didn't say.
    pub asked: u64,
    /// What was held then, in bytes, as the ledger counts.
    pub held: u64,
    /// Where in the network it was.
    pub place: String,
    /// Who refused: the budget, the device, or a test.
    pub refused_by: String,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, held, place, refused_by } = self;
        write!(f, "out of device memory in {place}: {asked} bytes more than the {held} held were refused by {refused_by}")
    }
}

/// Why a pass over the network stopped.
#[derive(Debug, Clone)]
pub enum Fault {
    /// For want of memory: the same samples can be tried again with less.
    Memory(OutOfMemory),
    /// Anything else.
    Failed(StageError),
}

/// The result of work on the device.
pub type Tried<T> = std::result::Result<T, Fault>;

impl Fault {
    /// The system gave no block of so many bytes. Who held what, and where it was, the ledger adds.
    pub fn refused(bytes: usize) -> Self {
        let refused_by = "the system".to_owned();
        Self::Memory(OutOfMemory { asked: bytes as u64, held: 0, place: String::new(), refused_by })
    }
}

impl From<StageError> for Fault {
    fn from(error: StageError) -> Self {
        Self::Failed(error)
    }
}

impl From<Fault> for StageError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Failed(error) => error,
            Fault::Memory(short) => StageError::new(short.to_string())
                .help("`pipeline plan FILE --budget SIZE` names settings that fit; a smaller image or network needs less"),
        }
    }
}
