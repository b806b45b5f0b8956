//! The tensors of a network: which ones it has (`Layout`), and their values on a device (`State`). How a layer uses them is up to
//! the layer; how a file stores them is up to `weights`.

mod layout;
mod state;

pub use layout::{Init, Layout, Role, TensorSpec};
pub use state::State;
pub(crate) use state::{upload, zeros};
