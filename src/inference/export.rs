//! Models for other programs: ONNX files.

use std::path::Path;

use pipeline_contract::Result;
use pipeline_training::device;
use pipeline_training::model::Model;
pub use pipeline_training::onnx::Written as Exported;

use super::recipe::model_file;

/// Writes a model, a checkpoint or the model of a run's folder as an ONNX file, which is checked by its numbers first.
///
/// # Errors
/// When the model can't be read, the file differs from it, or can't be written.
pub fn export(model: &Path, out: &Path) -> Result<Exported> {
    Model::open(&model_file(model), &device::open("cpu")?.device)?.write_onnx(out)
}
