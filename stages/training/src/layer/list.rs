//! The list of all layers that produce maps. (A norm produces none and stands by itself.)

use super::convolution::{Convolution, ConvolutionBackend};
use super::differentiable::{Differentiable, Rules};
use super::head::{Head, HeadBackend};
use super::mean::{MeanBackend, MeanLogits};
use super::nearest::{NearestBackend, UpsampleNearest};
use super::norm::NormBackend;
use super::pool::{MaxPool, MaxPoolBackend};
use super::probabilities::{Probabilities, ProbabilitiesBackend};
use super::stored_logits::{StoredLogits, StoredLogitsBackend};
use super::sum::{Sum, SumBackend};
use super::transposed::{TransposedBackend, TransposedConvolution};
use crate::pass::Backend;

macro_rules! layers {
    ($($layer:ident: $backend:ident),+ $(,)?) => {
        /// Any layer that produces a map.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum Layer {
            $(
                #[doc = concat!("See [`", stringify!($layer), "`].")]
                $layer($layer),
            )+
        }

        impl Layer {
            /// What is known about the layer without running it.
            pub(crate) fn rules(&self) -> &dyn Rules {
                match self {
                    $(Self::$layer(layer) => layer,)+
                }
            }

            /// The layer on a backend.
            pub(crate) fn on<B: LayerBackend>(&self) -> &dyn Differentiable<B> {
                match self {
                    $(Self::$layer(layer) => layer,)+
                }
            }
        }

        $(
            impl From<$layer> for Layer {
                fn from(layer: $layer) -> Self {
                    Self::$layer(layer)
                }
            }
        )+

        /// A backend that implements all layers.
        pub(crate) trait LayerBackend: Backend + NormBackend $(+ $backend)+ {}

        impl<B: Backend + NormBackend $(+ $backend)+> LayerBackend for B {}
    };
}

layers! {
    Convolution: ConvolutionBackend,
    TransposedConvolution: TransposedBackend,
    UpsampleNearest: NearestBackend,
    MaxPool: MaxPoolBackend,
    Sum: SumBackend,
    Head: HeadBackend,
    Probabilities: ProbabilitiesBackend,
    StoredLogits: StoredLogitsBackend,
    MeanLogits: MeanBackend,
}
