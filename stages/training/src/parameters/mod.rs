//! The tensors of a network: which there are (`Layout`), and their values on a device (`State`).
//! How a layer uses them is the layer's business; how they lie in a file is `weights`'.

mod layout;
mod state;

pub use layout::{Init, Layout, Role, TensorSpec};
pub use state::State;
pub(crate) use state::{upload, zeros};
