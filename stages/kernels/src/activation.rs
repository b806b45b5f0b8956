//! Activation functions and their gradients, applied to rows of float32.

/// A function applied to each value of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `x`
    Identity,
    /// `max(x, 0)`; NaN stays NaN.
    Relu,
    /// `x` where `x >= 0`, else `slope * x` (Maas, Hannun and Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic
    /// Models", 2013). It holds the slope.
    LeakyRelu(f32),
}

/// A row that a function can be applied to. It is compiled for each function, so that its loop has no branch on the
/// activation.
pub(crate) trait Row {
    /// Writes `function(x)` over each value `x`.
    fn each(self, function: impl Fn(f32) -> f32);
}

impl Row for &mut [f32] {
    #[inline(always)]
    fn each(self, function: impl Fn(f32) -> f32) {
        for value in self {
            *value = function(*value);
        }
    }
}

impl Activation {
    /// Writes `activation(function(x))` over each value `x` of a row.
    #[inline(always)]
    pub(crate) fn apply_after(self, row: impl Row, function: impl Fn(f32) -> f32) {
        match self {
            Self::Identity => row.each(function),
            Self::Relu => row.each(|x| {
                let x = function(x);
                if x < 0.0 { 0.0 } else { x }
            }),
            Self::LeakyRelu(slope) => row.each(|x| {
                let x = function(x);
                if x < 0.0 { slope * x } else { x }
            }),
        }
    }

    /// Writes the gradient of the input to `gradient`, where the activation was applied to `function(x)` of each value `x`.
    /// At 0 the gradient is that of negative inputs, as in PyTorch.
    #[inline(always)]
    pub(crate) fn gradient(self, values: &[f32], function: impl Fn(f32) -> f32, upstream: &[f32], gradient: &mut [f32]) {
        let triples = gradient.iter_mut().zip(upstream.iter().zip(values));
        match self {
            Self::Identity => gradient.copy_from_slice(upstream),
            Self::Relu => triples.for_each(|(to, (g, x))| *to = if function(*x) > 0.0 { *g } else { 0.0 }),
            Self::LeakyRelu(slope) => triples.for_each(|(to, (g, x))| *to = if function(*x) > 0.0 { *g } else { slope * *g }),
        }
    }
}
