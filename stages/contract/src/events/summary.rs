//! The entries of `summary.json` that the program's own stages set. A stage of your own may set others.

/// The device, in words. Set by the trainer.
pub const DEVICE: &str = "device";

/// Weights of the network: a whole number. Set by the trainer, and by what writes them.
pub const PARAMETERS: &str = "parameters";

/// Optimizer steps. Set by the optimizer.
pub const STEPS: &str = "steps";

/// Samples trained on. Set by the optimizer.
pub const SAMPLES: &str = "samples";

/// Windows that overflowed and were discarded. Set by the optimizer.
pub const SKIPPED_WINDOWS: &str = "skipped_windows";

/// The figures of the last evaluation. Set by the evaluator.
pub const EVAL: &str = "eval";

/// SHA-256 over the tensors of the best epoch's model, in hexadecimal digits. Set by what writes it, where a best epoch is chosen.
pub const MODEL_SHA256: &str = "model_sha256";

/// The epoch of that model, from 1.
pub const MODEL_EPOCH: &str = "model_epoch";

/// SHA-256 over the tensors as they are when the run ends, in hexadecimal digits. Set by what writes them.
pub const WEIGHTS_SHA256: &str = "weights_sha256";
