//! Compares this build on a device with a PyTorch reference (gradients, and whole training runs through the same code that
//! the stages use), and a file's window with the same samples as one batch. `tests/pytorch/make_reference.py` documents the
//! reference format and generates references.

mod reference;
mod report;
mod run;
mod runs;
mod window;

pub use report::{Kind, Report, Row};
pub use run::{verify, verify_bytes};
pub use window::{Collected, Group, WindowReport, compare};
