//! The types that activations are stored in: `mixed_precision` of a file.

use burn::tensor::DType;

/// The type that activations are stored in, and that convolutions on a device with matrix units for it also compute in. Weights, their
/// gradients, optimizer state, norm statistics, losses and all sums over pixels are float32 regardless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    /// 32-bit floats.
    Float32,
    /// 16-bit floats of 5 exponent bits; gradients need a loss scale.
    Float16,
    /// 16-bit floats of 8 exponent bits, the range of float32.
    BFloat16,
}

impl Precision {
    /// Their names in files, in the order of the variants.
    pub const NAMES: &'static [&'static str] = &["no", "fp16", "bf16"];

    /// All of them.
    pub const ALL: [Self; 3] = [Self::Float32, Self::Float16, Self::BFloat16];

    /// The precision of a name in a file: `no`, `fp16` or `bf16`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|precision| precision.name() == name)
    }

    /// Its name in files.
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

    /// Bytes of one value.
    pub fn bytes(self) -> u64 {
        if self == Self::Float32 { 4 } else { 2 }
    }
}
