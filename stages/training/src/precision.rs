//! The types that activations are stored in and multiplied in: the options `mixed_precision` and `float32_matmul`.

use burn::tensor::DType;

/// The type that activations are stored in. On a graphics device with matrix units for it, convolutions multiply in it. Weights,
/// their gradients, optimizer state, norm statistics, losses and all sums are float32 regardless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    /// 32-bit floats.
    Float32,
    /// 32-bit floats whose products have factors rounded to 10 bits (TensorFloat-32) where the device has matrix units for that;
    /// `mixed_precision: no` with `float32_matmul: tf32`.
    Tf32,
    /// 16-bit floats with 5 exponent bits; gradients need a loss scale.
    Float16,
    /// 16-bit floats with 8 exponent bits, which give the range of float32.
    BFloat16,
}

impl Precision {
    /// The names in pipeline files.
    pub const NAMES: &'static [&'static str] = &["no", "fp16", "bf16"];

    /// The precisions that `mixed_precision` names.
    pub const ALL: [Self; 3] = [Self::Float32, Self::Float16, Self::BFloat16];

    /// Looks up a precision by its name in a pipeline file: `no`, `fp16` or `bf16`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|precision| precision.name() == name)
    }

    /// Its name in pipeline files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 | Self::Tf32 => "no",
            Self::Float16 => "fp16",
            Self::BFloat16 => "bf16",
        }
    }

    /// The values of `float32_matmul` in pipeline files.
    pub const PRODUCTS: &'static [&'static str] = &["float32", "tf32"];

    /// The same with the products that a value of `float32_matmul` asks for. Half precision has products of its own.
    #[must_use]
    pub fn with_products(self, name: &str) -> Self {
        if self == Self::Float32 && name == "tf32" { Self::Tf32 } else { self }
    }

    /// The precision in words: its name in files, and that of its products where it isn't float32.
    pub fn words(self) -> &'static str {
        if self == Self::Tf32 { "no, float32_matmul tf32" } else { self.name() }
    }

    /// A name that tells all precisions apart, for saved policies.
    pub(crate) fn tag(self) -> &'static str {
        if self == Self::Tf32 { "tf32" } else { self.name() }
    }

    /// The precision with this tag.
    pub(crate) fn tagged(tag: &str) -> Option<Self> {
        if tag == "tf32" { Some(Self::Tf32) } else { Self::named(tag) }
    }

    /// burn's name for it.
    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::Float32 | Self::Tf32 => DType::F32,
            Self::Float16 => DType::F16,
            Self::BFloat16 => DType::BF16,
        }
    }

    /// Bytes per value.
    pub fn bytes(self) -> u64 {
        if self.is_half() { 2 } else { 4 }
    }

    /// Whether maps are stored in 16 bits.
    pub fn is_half(self) -> bool {
        matches!(self, Self::Float16 | Self::BFloat16)
    }
}
