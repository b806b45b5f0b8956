//! What an operation costs: scratch memory, which its backend states, and work, which its layer states. Passes charge the cost;
//! plans add it up.

/// The memory that an operation needs besides its inputs and its result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Scratch {
    /// Bytes held while the operation runs.
    pub bytes: u64,
    /// Bytes of the largest single buffer that it allocates, its result included. Graphics devices limit the size of a buffer; 0
    /// on the CPU, which doesn't.
    pub largest: u64,
}

impl Scratch {
    /// No scratch memory.
    pub const NONE: Self = Self { bytes: 0, largest: 0 };

    /// Scratch memory of this many bytes.
    pub fn bytes(bytes: u64) -> Self {
        Self { bytes, largest: 0 }
    }

    /// Sets the size of the largest buffer.
    pub fn largest(self, largest: u64) -> Self {
        Self { largest, ..self }
    }
}

/// Arithmetic and memory traffic of operations, for time estimates.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Work {
    /// Multiplications and additions in convolutions.
    pub flops: f64,
    /// Map values read or written.
    pub values: f64,
    /// Number of operations.
    pub operations: u64,
}

impl Work {
    /// An operation that only moves values.
    pub fn moving(values: f64) -> Self {
        Self { flops: 0.0, values, operations: 1 }
    }
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.flops += other.flops;
        self.values += other.values;
        self.operations += other.operations;
    }
}

/// Scratch memory and work of an operation.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cost {
    pub scratch: Scratch,
    pub work: Work,
}

impl Cost {
    /// An operation that moves values and needs no scratch memory.
    pub fn moving(values: f64) -> Self {
        Self { scratch: Scratch::NONE, work: Work::moving(values) }
    }
}
