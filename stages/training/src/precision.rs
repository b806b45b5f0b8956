//! The types that activations are stored in: the option `mixed_precision`.

use burn::tensor::DType;

/// The type that activations are stored in. On a graphics device with matrix units for it,
/// convolutions also sum in it, although without these units (see the README). Weights,
/// their gradients, optimizer state, norm statistics, losses and all sums over pixels are float32 regardless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    /// 32-bit floats.
    Float32,
    /// 16-bit floats with 5 exponent bits; gradients need a loss scale.
    Float16,
    /// 16-bit floats with 8 exponent bits, which give the range of float32.
    BFloat16,
}

impl Precision {
    /// The names in pipeline files, in the order of the variants.
    pub const NAMES: &'static [&'static str] = &["no", "fp16", "bf16"];

    /// All precisions, in the order of the variants.
    pub const ALL: [Self; 3] = [Self::Float32, Self::Float16, Self::BFloat16];

    /// Looks up a precision by its name in a pipeline file: `no`, `fp16` or `bf16`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|precision| precision.name() == name)
    }

    /// Its name in pipeline files.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// burn's name for it.
    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::Float32 => DType::F32,
            Self::Float16 => DType::F16,
            Self::BFloat16 => DType::BF16,
        }
    }

    /// Bytes per value.
    pub fn bytes(self) -> u64 {
        if self == Self::Float32 { 4 } else { 2 }
    }
}
