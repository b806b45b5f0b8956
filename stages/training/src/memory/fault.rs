//! Why work on the device stopped: out of memory, which a smaller setting can fix, or another failure.

use std::fmt;

use pipeline_contract::StageError;

/// An allocation that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Bytes requested; 0 when the device didn't report it.
    pub asked: u64,
    /// Bytes held at that moment, as counted by the ledger.
    pub held: u64,
    /// Where in the network it happened.
    pub place: String,
    /// Who refused: the budget, the device, or a test.
    pub refused_by: String,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, held, place, refused_by } = self;
        write!(f, "out of device memory in {place}: {refused_by} refused {asked} bytes on top of the {held} held")
    }
}

/// Why a pass over the network stopped.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Out of memory: the same samples can be tried again with a smaller setting.
    Memory(OutOfMemory),
    /// Anything else.
    Failed(StageError),
}

/// The result of work on the device.
pub type Tried<T> = std::result::Result<T, Fault>;

impl Fault {
    /// The system refused a block of `bytes`. The ledger fills in how much was held and where.
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
