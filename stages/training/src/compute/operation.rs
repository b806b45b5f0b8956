//! What an operation costs, as a pure function of its shapes: memory beside its inputs and its output, arithmetic, traffic.
//! Passes charge by it and plans count by it.

use std::ops::RangeInclusive;

use pipeline_kernels::{
    Area, convolve_input_gradient_workspace, convolve_weight_gradient_workspace, convolve_workspace, upsample_workspace,
};

use super::Precision;

/// How many values are written side by side for a gradient of weights at a time on a graphics device, unless a single row has more: as many as
/// the map itself has where that is between the two, so that it takes no more of them than the forward pass.
pub(crate) const NEIGHBOURS: RangeInclusive<usize> = 1 << 20..=1 << 23;

/// Whose arithmetic it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Our own kernels on the CPU.
    Kernels,
    /// burn's tensors.
    Tensors,
}

/// One operation with the channels and the area of its input.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    Images {
        area: Area,
    },
    /// `parts`: how many inputs it reads; `copied`: the channels of the widest of them that it reads through a norm.
    Convolve {
        inputs: usize,
        outputs: usize,
        area: Area,
        parts: usize,
        copied: usize,
    },
    ConvolveWeight {
        inputs: usize,
        outputs: usize,
        area: Area,
    },
    ConvolveInput {
        wanted: usize,
        outputs: usize,
        area: Area,
    },
    Moments {
        channels: usize,
        area: Area,
    },
    NormInput {
        channels: usize,
        area: Area,
    },
    Pool {
        channels: usize,
        area: Area,
    },
    PoolInput {
        channels: usize,
        area: Area,
    },
    Upsample {
        inputs: usize,
        outputs: usize,
        area: Area,
    },
    UpsampleWeight {
        inputs: usize,
        outputs: usize,
        area: Area,
    },
    UpsampleInput {
        inputs: usize,
        outputs: usize,
        area: Area,
    },
    Head {
        inputs: usize,
        outputs: usize,
        area: Area,
    },
    HeadWeight {
        inputs: usize,
        outputs: usize,
        area: Area,
    },
    HeadInput {
        inputs: usize,
        outputs: usize,
        area: Area,
    },
    Loss {
        area: Area,
    },
    Zeros {
        channels: usize,
        area: Area,
    },
    Add {
        channels: usize,
        area: Area,
    },
}

/// Arithmetic and traffic of operations, for estimates of time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Work {
    /// Multiplications and additions in convolutions.
    pub flops: f64,
    /// Values of maps read or written, over all operations.
    pub values: f64,
    /// How many operations.
    pub operations: u64,
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.flops += other.flops;
        self.values += other.values;
        self.operations += other.operations;
    }
}

impl Operation {
    /// Bytes that the operation holds while it runs, beside inputs and output.
    pub fn temporaries(self, engine: Engine, precision: Precision) -> u64 {
        match engine {
            Engine::Kernels => 4 * self.workspace() as u64,
            Engine::Tensors => self.between(precision),
        }
    }

    /// float32 values of workspace of our own kernels.
    pub fn workspace(self) -> usize {
        match self {
            Self::Convolve { inputs, outputs, area, .. } => convolve_workspace(inputs, outputs, area),
            Self::ConvolveWeight { inputs, outputs, area, .. } => convolve_weight_gradient_workspace(inputs, outputs, area),
            Self::ConvolveInput { wanted, outputs, area, .. } => convolve_input_gradient_workspace(outputs, wanted, area),
            Self::Upsample { inputs, outputs, area }
            | Self::UpsampleWeight { inputs, outputs, area }
            | Self::UpsampleInput { inputs, outputs, area } => upsample_workspace(inputs, outputs, area),
            _ => 0,
        }
    }

    /// What the kernels of a graphics device take in between, in bytes. What a convolution reads through norm and ReLU is written before it, and
    /// what it makes of several inputs is added up; in half precision it reads copies of its weights.
    fn between(self, precision: Precision) -> u64 {
        let map = |channels: usize, area: Area| area.values(channels) as u64 * precision.bytes();
        let wide = |channels: usize, area: Area| area.values(channels) as u64 * 4;
        let narrowed = |values: usize| if precision == Precision::Float32 { 0 } else { values as u64 * 2 };
        match self {
            // The bytes as they came, and each as an integer.
            Self::Images { area } => area.values(3) as u64 + wide(3, area),
            Self::Convolve { inputs, outputs, area, parts, copied } => {
                narrowed(inputs * outputs * 9) + map(if parts > 1 { copied.max(outputs) } else { copied }, area)
            }
            // The neighbours of some pixels, and what they come to before it is summed up.
            Self::ConvolveWeight { inputs, outputs, area } => {
                let neighbours =
                    (3 * area.values(inputs)).min(area.values(inputs).clamp(*NEIGHBOURS.start(), *NEIGHBOURS.end()));
                neighbours as u64 * precision.bytes() + 4 * 3 * 9 * (inputs * outputs) as u64
            }
            Self::ConvolveInput { wanted, outputs, .. } => 4 * (wanted * outputs * 9) as u64 + narrowed(wanted * outputs * 9),
            Self::Upsample { inputs, outputs, area } | Self::UpsampleWeight { inputs, outputs, area } => {
                map(inputs, area) + 4 * map(outputs, area)
            }
            Self::UpsampleInput { outputs, area, .. } => 4 * map(outputs, area),
            // The masks as floats, made from integers.
            Self::Loss { area } => 2 * wide(1, area),
            Self::Moments { .. } | Self::NormInput { .. } | Self::Pool { .. } | Self::PoolInput { .. } => 0,
            Self::Head { .. } | Self::HeadWeight { .. } | Self::HeadInput { .. } | Self::Zeros { .. } | Self::Add { .. } => 0,
        }
    }

    /// Bytes of the largest map that the operation makes on a graphics device.
    pub fn piece(self, precision: Precision) -> u64 {
        let map = |channels: usize, area: Area| area.values(channels) as u64 * precision.bytes();
        match self {
            Self::Convolve { outputs, area, copied, .. } => map(copied.max(outputs), area),
            Self::ConvolveInput { wanted, area, .. } => map(wanted, area),
            Self::Upsample { outputs, area, .. }
            | Self::UpsampleWeight { outputs, area, .. }
            | Self::UpsampleInput { outputs, area, .. } => 4 * map(outputs, area),
            // Smaller than the map that they read.
            _ => 0,
        }
    }

    /// What the operation does.
    pub fn work(self) -> Work {
        let both = |inputs: usize, outputs: usize, taps: usize, area: Area, read: f64| Work {
            flops: 2.0 * (inputs * outputs * taps) as f64 * (area.batch * area.pixels()) as f64,
            values: read * (area.batch * area.pixels()) as f64,
            operations: 1,
        };
        let moved = |values: f64| Work { flops: 0.0, values, operations: 1 };
        match self {
            Self::Convolve { inputs, outputs, area, .. } | Self::ConvolveWeight { inputs, outputs, area, .. } => {
                both(inputs, outputs, 9, area, (inputs + outputs) as f64)
            }
            Self::ConvolveInput { wanted, outputs, area, .. } => both(wanted, outputs, 9, area, (wanted + outputs) as f64),
            Self::Upsample { inputs, outputs, area }
            | Self::UpsampleWeight { inputs, outputs, area }
            | Self::UpsampleInput { inputs, outputs, area } => both(inputs, outputs, 4, area, (inputs + 4 * outputs) as f64),
            Self::Head { inputs, outputs, area }
            | Self::HeadWeight { inputs, outputs, area }
            | Self::HeadInput { inputs, outputs, area } => both(inputs, outputs, 1, area, (inputs + outputs) as f64),
            Self::Images { area } => moved(area.values(3) as f64),
            Self::Moments { channels, area } => moved(2.0 * area.values(channels) as f64),
            Self::NormInput { channels, area } => moved(5.0 * area.values(channels) as f64),
            Self::Pool { channels, area } => moved(1.25 * area.values(channels) as f64),
            Self::PoolInput { channels, area } => moved(3.25 * area.values(channels) as f64),
            Self::Loss { area } => moved(3.0 * area.values(1) as f64),
            Self::Zeros { channels, area } => moved(area.values(channels) as f64),
            Self::Add { channels, area } => moved(3.0 * area.values(channels) as f64),
        }
    }
}
