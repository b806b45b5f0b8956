//! A block: what gradient checkpointing keeps or makes again as one. A network is a list of blocks; a new one gets every
//! checkpointing mode by naming its own.

use std::sync::Arc;

use super::{Checkpointing, Convolution, Norm, Upsample};
use crate::compute::{Arithmetic, Executor, Feature, Input, Map, Pass};
use crate::memory::{Fault, Tried};

/// Where a block gets an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The images.
    Images,
    /// The output of an earlier block.
    Block(usize),
}

/// What happens to a block's last input before its first convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prelude {
    /// Nothing.
    Plain,
    /// 2x2 max pooling.
    Pool,
    /// 2x2 transposed convolution.
    Upsample(Upsample),
}

/// Inputs, joined along channels after the prelude, then any number of (3x3 convolution, norm, ReLU).
#[derive(Debug, Clone)]
pub struct Block {
    /// Its name, as in the names of its tensors: `down.0`, `decode.2`.
    pub name: Arc<str>,
    /// What it reads, in the order of channels.
    pub inputs: Vec<Source>,
    /// What happens to the last of them.
    pub prelude: Prelude,
    /// At least one.
    pub layers: Vec<(Convolution, Norm)>,
}

/// What a block keeps between its passes. What isn't kept is made again.
pub(super) struct Kept<A: Arithmetic> {
    /// What the prelude made.
    prelude: Option<Map<A::Data>>,
    /// The outputs of the convolutions but the last, which is the block's own.
    inner: Vec<Map<A::Data>>,
    /// The statistics of their norms: a few values per channel, always kept, so that norms aren't updated twice.
    moments: Vec<A::Moments>,
}

/// All that a block reads: the images and the outputs so far.
pub(super) struct Sources<'a, A: Arithmetic> {
    pub images: &'a Map<A::Data>,
    pub features: &'a [Option<Feature<A>>],
}

impl<'a, A: Arithmetic> Sources<'a, A> {
    fn input(&self, source: Source) -> Option<Input<'a, A>> {
        match source {
            Source::Images => Some(Input { map: self.images, norm: None }),
            Source::Block(index) => self.features.get(index)?.as_ref().map(Feature::input),
        }
    }
}

/// The gradients of the blocks' outputs, as far as they are known.
pub(super) type Deltas<A> = Vec<Option<Map<<A as Arithmetic>::Data>>>;

fn gone() -> Fault {
    Fault::Failed(pipeline_contract::StageError::new("a block reads an output that isn't held"))
}

impl Block {
    /// The output, and what is kept of the way there.
    pub(super) fn forward<A: Arithmetic>(
        &self,
        e: &mut Executor<A>,
        sources: &Sources<'_, A>,
        pass: Pass,
        mode: Checkpointing,
    ) -> Result<(Feature<A>, Kept<A>), Fault> {
        e.enter(&self.name, "forward");
        let keep = pass == Pass::Train && mode == Checkpointing::None;
        let mut kept = Kept { prelude: self.prelude(e, sources)?, inner: Vec::new(), moments: Vec::new() };
        let (first, first_norm) = &self.layers[0];
        let mut map = e.convolve(first, &self.joined(sources, kept.prelude.as_ref())?)?;
        match &mut kept.prelude {
            Some(prelude) if keep => prelude.save(&self.name),
            prelude => *prelude = None,
        }
        let mut moments = e.moments(first_norm, &map, pass)?;
        let mut norm = first_norm;
        for (convolution, next_norm) in &self.layers[1..] {
            let next = e.convolve(convolution, &[Input { map: &map, norm: Some((norm, &moments)) }])?;
            if keep {
                map.save(&self.name);
                kept.inner.push(map);
            } else {
                drop(map);
            }
            let next_moments = e.moments(next_norm, &next, pass)?;
            kept.moments.push(std::mem::replace(&mut moments, next_moments));
            (map, norm) = (next, next_norm);
        }
        Ok((Feature { map, norm: Some((*norm, moments)) }, kept))
    }

    /// All that the block made on a forward pass that kept it: what the prelude gave, what its convolutions gave.
    pub(super) fn made<'a, A: Arithmetic>(&'a self, output: &'a Feature<A>, kept: &'a Kept<A>) -> Vec<Input<'a, A>> {
        let prelude = kept.prelude.iter().map(|map| Input { map, norm: None });
        let norms = self.layers.iter().map(|(_, norm)| norm).zip(&kept.moments);
        let inner = kept.inner.iter().zip(norms).map(|(map, norm)| Input { map, norm: Some(norm) });
        prelude.chain(inner).chain([output.input()]).collect()
    }

    /// Takes the block's output and its gradient, adds the gradients of the block's tensors to the window's sums, and those
    /// of its inputs to `deltas`.
    pub(super) fn backward<A: Arithmetic>(
        &self,
        e: &mut Executor<A>,
        sources: &Sources<'_, A>,
        (mut output, upstream): (Feature<A>, Map<A::Data>),
        kept: Kept<A>,
        deltas: &mut Deltas<A>,
        mode: Checkpointing,
    ) -> Tried<()> {
        e.enter(&self.name, "backward");
        output.map.work();
        let mut upstream = e.norm_input(&output, upstream)?;
        drop(output);
        let Kept { mut prelude, inner, moments } = kept;
        let inner = match mode != Checkpointing::None {
            true if self.layers.len() == 1 => Vec::new(),
            true => {
                prelude = self.prelude(e, sources)?;
                let inner = self.remake(e, sources, prelude.as_ref(), &moments)?;
                if mode == Checkpointing::Full {
                    prelude = None;
                }
                inner
            }
            false => inner,
        };
        let norms = self.layers.iter().map(|(_, norm)| *norm);
        let mut features: Vec<Feature<A>> =
            inner.into_iter().zip(norms.zip(moments)).map(|(map, norm)| Feature { map, norm: Some(norm) }).collect();
        for (convolution, _) in self.layers[1..].iter().rev() {
            let Some(mut feature) = features.pop() else { return Err(gone()) };
            feature.map.work();
            e.convolve_weight(convolution, &[feature.input()], &upstream)?;
            let before = e.convolve_input(convolution, &upstream, 0..convolution.inputs)?;
            drop(upstream);
            upstream = e.norm_input(&feature, before)?;
        }
        if prelude.is_none() {
            prelude = self.prelude(e, sources)?;
        }
        let (first, _) = &self.layers[0];
        e.convolve_weight(first, &self.joined(sources, prelude.as_ref())?, &upstream)?;
        drop(prelude);
        self.inputs_backward(e, sources, first, upstream, deltas)
    }

    /// The gradients of the block's inputs, the last one first: each is a range of the first convolution's channels.
    fn inputs_backward<A: Arithmetic>(
        &self,
        e: &mut Executor<A>,
        sources: &Sources<'_, A>,
        first: &Convolution,
        upstream: Map<A::Data>,
        deltas: &mut Deltas<A>,
    ) -> Tried<()> {
        let mut upstream = Some(upstream);
        let mut end = first.inputs;
        for (position, &source) in self.inputs.iter().enumerate().rev() {
            let input = sources.input(source).ok_or_else(gone)?;
            let prelude = if position + 1 == self.inputs.len() { self.prelude } else { Prelude::Plain };
            let channels = match prelude {
                Prelude::Upsample(layer) => layer.outputs,
                Prelude::Plain | Prelude::Pool => input.map.channels,
            };
            let (wanted, last) = (end - channels..end, position == 0);
            end = wanted.start;
            let Source::Block(index) = source else { continue };
            let delta = e.convolve_input(first, upstream.as_ref().ok_or_else(gone)?, wanted)?;
            if last {
                upstream = None;
            }
            let sum = deltas[index].take();
            deltas[index] = Some(match prelude {
                Prelude::Plain => e.add(sum, delta)?,
                Prelude::Pool => e.pool_input(input, &delta, sum)?,
                Prelude::Upsample(layer) => {
                    e.upsample_weight(&layer, input, &delta)?;
                    let below = e.upsample_input(&layer, &delta)?;
                    drop(delta);
                    e.add(sum, below)?
                }
            });
        }
        Ok(())
    }

    fn prelude<A: Arithmetic>(&self, e: &mut Executor<A>, sources: &Sources<'_, A>) -> Tried<Option<Map<A::Data>>> {
        let last = || self.inputs.last().and_then(|&source| sources.input(source)).ok_or_else(gone);
        match &self.prelude {
            Prelude::Plain => Ok(None),
            Prelude::Pool => e.pool(last()?).map(Some),
            Prelude::Upsample(layer) => e.upsample(layer, last()?).map(Some),
        }
    }

    /// The inputs of the first convolution; the prelude's result stands for the last.
    fn joined<'a, A: Arithmetic>(
        &self,
        sources: &Sources<'a, A>,
        prelude: Option<&'a Map<A::Data>>,
    ) -> Tried<Vec<Input<'a, A>>> {
        let inputs = self.inputs.iter().map(|&source| sources.input(source).ok_or_else(gone));
        let mut inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        if let (Some(map), Some(last)) = (prelude, inputs.last_mut()) {
            *last = Input { map, norm: None };
        }
        Ok(inputs)
    }

    /// The outputs of the convolutions but the last, once more; the norms' statistics are those of the forward pass.
    fn remake<A: Arithmetic>(
        &self,
        e: &mut Executor<A>,
        sources: &Sources<'_, A>,
        prelude: Option<&Map<A::Data>>,
        moments: &[A::Moments],
    ) -> Tried<Vec<Map<A::Data>>> {
        let mut inner: Vec<Map<A::Data>> = Vec::new();
        for (index, (convolution, _)) in self.layers[..self.layers.len() - 1].iter().enumerate() {
            let made = match inner.last() {
                None => e.convolve(convolution, &self.joined(sources, prelude)?)?,
                Some(map) => {
                    let norm = Some((&self.layers[index - 1].1, &moments[index - 1]));
                    e.convolve(convolution, &[Input { map, norm }])?
                }
            };
            inner.push(made);
        }
        Ok(inner)
    }
}
