//! The arithmetic of the layers, three times over: on the CPU by our own kernels, on any device by burn's tensors, and
//! counted without being done. The executor drives any of them and charges every map to the ledger before it is made,
//! so a plan is the same walk over the same network as a pass.

mod arithmetic;
mod counting;
mod executor;
mod host;
mod kernels;
mod operation;
mod tensors;

pub(crate) use arithmetic::{Arithmetic, Input};
pub use arithmetic::{Images, Pass};
pub(crate) use counting::Counting;
pub(crate) use executor::{Executor, Feature, Map};
pub(crate) use host::{read, write};
pub(crate) use kernels::Kernels;
pub use operation::Work;
pub(crate) use operation::{Engine, Operation};
pub(crate) use tensors::{Tensors, adam, dtype, every_pixel, is_fused, squares};

/// What maps are stored in, and on a graphics device also computed in. Weights, their gradients, the optimizer's state, norm
/// statistics, losses and all sums are float32 whatever this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    /// 32-bit floats.
    Float32,
    /// 16-bit floats of 5 exponent bits; gradients need a loss scale.
    Float16,
    /// 16-bit floats of 8 exponent bits, the range of float32.
    BFloat16,
}

impl Precision {
    /// Their names in files, in the order of the variants.
    pub const NAMES: &'static [&'static str] = &["no", "fp16", "bf16"];

    /// All of them.
    pub const ALL: [Self; 3] = [Self::Float32, Self::Float16, Self::BFloat16];

    /// The precision of a name in a file: `no`, `fp16` or `bf16`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|precision| precision.name() == name)
    }

    /// Its name in files.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Bytes of one value.
    pub fn bytes(self) -> u64 {
        if self == Self::Float32 { 4 } else { 2 }
    }
}
