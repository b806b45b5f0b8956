//! The CPU backend, with our own kernels. Maps are plain vectors in the precision of the pass, an input's norm and activation are
//! applied while it is read, and no operation allocates more than its output and its scratch memory.

mod convolution;
mod core;
mod costs;
mod head;
mod host;
mod loss;
mod nearest;
mod norm;
mod pool;
mod probabilities;
mod runtime;
mod statistics;
mod stored_logits;
mod sum;
mod transposed;
mod values;

pub(super) use self::core::run;
pub(super) use costs::CpuCosts;
pub(super) use runtime::CpuRuntime;
#[cfg(feature = "graphics")]
pub(super) use values::{fit, planes, squares, tables, with, zeros};
