//! Compares this build on a device with a PyTorch reference: gradients, and whole training runs through the same code
//! that the stages use; and a file's window with the same samples as one batch. The file's format is documented in `shared/parity/make_fixtures.py`.

mod reference;
mod report;
mod run;
mod window;

pub use report::{Kind, Report, Row};
pub use run::{verify, verify_bytes};
pub use window::{Collected, Group, WindowReport, compare};
