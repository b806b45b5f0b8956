//! Graphics devices: burn's tensors hold the maps; our own kernels in CubeCL, which compiles for every graphics interface,
//! compute everything between the convolutions.

mod costs;
#[cfg(any(test, feature = "graphics"))]
mod failure;

#[cfg(feature = "graphics")]
mod bytes;
#[cfg(feature = "graphics")]
mod convolution;
#[cfg(feature = "graphics")]
mod core;
#[cfg(feature = "graphics")]
mod head;
#[cfg(feature = "graphics")]
mod kernels;
#[cfg(feature = "graphics")]
mod loss;
#[cfg(feature = "graphics")]
mod nearest;
#[cfg(feature = "graphics")]
mod norm;
#[cfg(feature = "graphics")]
mod pool;
#[cfg(feature = "graphics")]
mod probabilities;
#[cfg(feature = "graphics")]
mod runtime;
#[cfg(feature = "graphics")]
mod statistics;
#[cfg(feature = "graphics")]
mod stored_logits;
#[cfg(feature = "graphics")]
mod sum;
#[cfg(feature = "graphics")]
mod tensors;
#[cfg(feature = "graphics")]
mod transposed;

#[cfg(feature = "graphics")]
pub(super) use self::core::run;
pub(crate) use costs::GraphicsCosts;
#[cfg(feature = "graphics")]
pub(crate) use runtime::GraphicsRuntime;
