//! The geometries of convolutions that the kernels support, and the shape of a layer.

use crate::Area;

/// The geometry of a square convolution kernel. The input is padded with zeros: `dilation * (size / 2)` of them on each side
/// for odd sizes, none for size 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Rows and columns of the kernel.
    pub size: usize,
    /// Distance from one output to the next, in pixels of the input.
    pub stride: usize,
    /// Distance from one tap to the next, in pixels of the input.
    pub dilation: usize,
}

impl Geometry {
    /// 1x1.
    pub const ONE: Self = Self { size: 1, stride: 1, dilation: 1 };
    /// 1x1 with stride 2: it reads a quarter of the pixels.
    pub const ONE_STRIDE_2: Self = Self { size: 1, stride: 2, dilation: 1 };
    /// 2x2 with stride 2.
    pub const TWO_STRIDE_2: Self = Self { size: 2, stride: 2, dilation: 1 };
    /// 3x3.
    pub const THREE: Self = Self { size: 3, stride: 1, dilation: 1 };
    /// 3x3 with stride 2.
    pub const THREE_STRIDE_2: Self = Self { size: 3, stride: 2, dilation: 1 };
    /// 3x3 with dilation 2: it spans 5x5 pixels.
    pub const THREE_DILATION_2: Self = Self { size: 3, stride: 1, dilation: 2 };

    /// The geometries that the kernels support.
    pub const SUPPORTED: [Self; 6] =
        [Self::ONE, Self::ONE_STRIDE_2, Self::TWO_STRIDE_2, Self::THREE, Self::THREE_STRIDE_2, Self::THREE_DILATION_2];

    /// The output's area for an input's area.
    ///
    /// # Panics
    /// When the stride is 2 and the height or width is odd.
    pub fn output(self, area: Area) -> Area {
        let Self { stride, .. } = self;
        assert!(area.height.is_multiple_of(stride) && area.width.is_multiple_of(stride), "sides of {area:?} by {stride}");
        Area { height: area.height / stride, width: area.width / stride, ..area }
    }

    /// Weights per kernel.
    pub fn taps(self) -> usize {
        self.size * self.size
    }

    /// Zeros before the first row and the first column.
    pub fn padding(self) -> usize {
        if self.size.is_multiple_of(2) { 0 } else { self.dilation * (self.size / 2) }
    }
}

/// The shape of a convolution layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvolutionShape {
    /// What a kernel reads.
    pub geometry: Geometry,
    /// Input channels, over all views.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// The input's size.
    pub area: Area,
}

impl ConvolutionShape {
    /// The output's size.
    pub(super) fn output(self) -> Area {
        assert!(Geometry::SUPPORTED.contains(&self.geometry), "{:?} is not supported", self.geometry);
        self.geometry.output(self.area)
    }

    /// Weights of all kernels.
    pub(super) fn weights(self) -> usize {
        self.outputs * self.inputs * self.geometry.taps()
    }
}
