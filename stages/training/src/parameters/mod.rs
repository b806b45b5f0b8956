//! The tensors of a network: which ones it has (`Layout`), and their values on a device (`State`). How a layer uses them is up to
//! the layer; how a file stores them is up to `weights`.

#[cfg(feature = "graphics")]
mod flat;
mod layout;
mod state;
mod values;

#[cfg(feature = "graphics")]
pub(crate) use flat::Flat;
pub use layout::{Init, Layout, Role, TensorSpec};
pub use state::State;
pub(crate) use values::{Values, upload, upload_all, zeros};
