//! The arithmetic that isn't done: maps without values. With it the executor walks a network and only the ledger changes.

use std::ops::Range;

use pipeline_kernels::Area;

use super::{Arithmetic, Images, Input, Map, Pass};
use crate::loss::Loss;
use crate::memory::Tried;
use crate::network::{Convolution, Head, Norm, Upsample};

/// Counts.
pub(crate) struct Counting;

type Done = Tried<()>;

impl Arithmetic for Counting {
    type Data = ();
    type Moments = ();

    fn images(&mut self, _: Images<'_>, _: Area) -> Done {
        Ok(())
    }
    fn convolve(&mut self, _: &Convolution, _: &[Input<'_, Self>], _: Area) -> Done {
        Ok(())
    }
    fn convolve_weight(&mut self, _: &Convolution, _: &[Input<'_, Self>], _: &Map<()>) -> Done {
        Ok(())
    }
    fn convolve_input(&mut self, _: &Convolution, _: &Map<()>, _: Range<usize>) -> Done {
        Ok(())
    }
    fn moments(&mut self, _: &Norm, _: &Map<()>, _: Pass) -> Done {
        Ok(())
    }
    fn norm_input(&mut self, _: &Norm, _: &Map<()>, (): &(), _: &mut Map<()>) -> Done {
        Ok(())
    }
    fn pool(&mut self, _: Input<'_, Self>) -> Done {
        Ok(())
    }
    fn pool_input(&mut self, _: Input<'_, Self>, _: &Map<()>, _: &mut Map<()>) -> Done {
        Ok(())
    }
    fn upsample(&mut self, _: &Upsample, _: Input<'_, Self>) -> Done {
        Ok(())
    }
    fn upsample_weight(&mut self, _: &Upsample, _: Input<'_, Self>, _: &Map<()>) -> Done {
        Ok(())
    }
    fn upsample_input(&mut self, _: &Upsample, _: &Map<()>) -> Done {
        Ok(())
    }
    fn head(&mut self, _: &Head, _: Input<'_, Self>) -> Done {
        Ok(())
    }
    fn head_weight(&mut self, _: &Head, _: Input<'_, Self>, _: &Map<()>) -> Done {
        Ok(())
    }
    fn head_input(&mut self, _: &Head, _: &Map<()>) -> Done {
        Ok(())
    }
    fn loss(&mut self, _: Loss, _: &mut Map<()>, _: &[u8], _: f32) -> Done {
        Ok(())
    }
    fn zeros(&mut self, _: usize, _: Area) -> Done {
        Ok(())
    }
    fn add(&mut self, _: &mut Map<()>, _: &Map<()>) -> Done {
        Ok(())
    }
    fn squares(&mut self, _: Input<'_, Self>) -> Tried<f64> {
        Ok(0.0)
    }
}
