//! The losses on a graphics device: plain cross-entropy and Dice in one kernel, other terms with tensors, and a loss with clDice
//! on the host, with the CPU's kernels.

use burn::tensor::activation::{log_softmax, relu, sigmoid};
use burn::tensor::{DType, Int, Tensor, TensorData};
use pipeline_contract::StageError;
use pipeline_kernels::{Area, Targets, Term};

use super::core::Graphics;
use super::costs::GraphicsCosts;
use super::tensors::replace;
use super::{bytes, kernels};
use crate::backend::counting::Costs as _;
use crate::backend::cpu::zeros;
use crate::loss::{IGNORED, Loss, LossBackend, Part};
use crate::memory::Tried;
use crate::pass::{Map, Scratch};

/// Keeps ratios of sums defined on empty masks, as on the CPU.
const EPSILON: f64 = 1e-5;

/// Logits and labels of samples, `[batch, pixels]`, and what the terms are computed from.
struct Binary {
    z: Tensor<2>,
    y: Tensor<2>,
    p: Tensor<2>,
    /// Height and width of a sample.
    side: [usize; 2],
}

/// The sums over each sample's pixels, `[batch, 1]`: rows are summed first, so that no loop is longer than a side.
fn sums(values: Tensor<2>, [height, width]: [usize; 2]) -> Tensor<2> {
    let [batch, _] = values.dims();
    values.reshape([batch * height, width]).sum_dim(1).reshape([batch, height]).sum_dim(1)
}

/// `ln(1 + exp(x))`, which neither overflows nor loses small values.
fn softplus(x: Tensor<2>) -> Tensor<2> {
    relu(x.clone()) + x.abs().neg().exp().log1p()
}

impl Binary {
    fn pixels(&self) -> f64 {
        (self.side[0] * self.side[1]) as f64
    }

    fn sums(&self, values: Tensor<2>) -> Tensor<2> {
        sums(values, self.side)
    }

    /// The loss of each sample `[batch, 1]` for a term, and the gradient of the logits `[batch, pixels]`.
    fn term(&self, term: Term) -> Result<(Tensor<2>, Tensor<2>), StageError> {
        let (z, y, p) = (self.z.clone(), self.y.clone(), self.p.clone());
        let (empty, pixels) = (y.clone().neg() + 1.0, self.pixels());
        Ok(match term {
            Term::Bce { pos_weight } => {
                let loss = softplus(z.clone().neg()) * y.clone() * pos_weight + softplus(z) * empty.clone();
                let gradient = p.clone() * empty - (p.neg() + 1.0) * y * pos_weight;
                (self.sums(loss) / pixels, gradient / pixels)
            }
            Term::Focal { gamma, alpha } => {
                let [off, on] = alpha.map_or([1.0; 2], |alpha| [1.0 - alpha, alpha]);
                // The loss of a pixel that is all background (`s` is 1) or all vessel (-1), and its gradient. `miss` is the probability
                // of the wrong class.
                let part = |s: f64, weight: Tensor<2>| {
                    let (miss, entropy) = (sigmoid(z.clone() * s), softplus(z.clone() * s));
                    let power = miss.clone().powf_scalar(gamma);
                    let slope = (miss.clone().neg() + 1.0) * entropy.clone() * gamma + miss;
                    (weight.clone() * power.clone() * entropy, weight * power * slope * s)
                };
                let ((loss, gradient), (vessel, by_vessel)) = (part(1.0, empty * off), part(-1.0, y * on));
                (self.sums(loss + vessel) / pixels, (gradient + by_vessel) / pixels)
            }
            Term::Dice => self.overlap(0.5, 0.5, 2.0),
            Term::Tversky { alpha, beta } => self.overlap(alpha.into(), beta.into(), 1.0),
            Term::FocalTversky { alpha, beta, gamma } => {
                let (loss, gradient) = self.overlap(alpha.into(), beta.into(), 1.0);
                let exponent = 1.0 / f64::from(gamma);
                let outer = loss.clone().clamp_min(1e-30).powf_scalar(exponent - 1.0) * exponent;
                (loss.powf_scalar(exponent), gradient * outer)
            }
            Term::ClDice { .. } => {
                return Err(StageError::new("clDice is computed on the host"));
            }
            Term::CrossEntropy | Term::ClassDice { .. } => {
                return Err(StageError::new("a loss over several classes on one class of logits"));
            }
        })
    }

    /// `1 - (hits + eps) / (hits + alpha false alarms + beta misses + eps)`; with halves and `eps / 2` this is soft Dice.
    fn overlap(&self, alpha: f64, beta: f64, halves: f64) -> (Tensor<2>, Tensor<2>) {
        let (y, p, eps) = (self.y.clone(), self.p.clone(), EPSILON / halves);
        let hits = self.sums(p.clone().min_pair(y.clone()));
        let (predicted, there) = (self.sums(p.clone()), self.sums(y.clone()));
        let above = hits.clone() + eps;
        let below = hits.clone() * (1.0 - alpha - beta) + predicted * alpha + there * beta + eps;
        let ratio = above / below.clone();
        // Where more probability is right, `m` is 1: d below / dp is (1 - alpha - beta) m + alpha, d above / dp is m.
        let more = p.clone().lower(y.clone()).bool_or(y.equal_elem(1.0)).float();
        let by = (more.clone() * (1.0 - alpha - beta) + alpha) * ratio.clone() - more;
        let slope = p.clone() - p.clone() * p;
        (ratio.neg() + 1.0, by / below * slope)
    }
}

impl Graphics<'_> {
    /// The loss of each sample and the gradient of the logits `[batch, 1, height, width]`, for one class.
    fn binary(&self, loss: &Loss, logits: Tensor<4>, labels: &[u8], scale: f32) -> Tried<(Tensor<1>, Tensor<4>)> {
        let [batch, _, height, width] = logits.dims();
        let y = bytes::masks(labels, &self.device())?.reshape([batch, height * width]);
        let z = logits.reshape([batch, height * width]);
        let plain = |term: Term| matches!(term, Term::Bce { pos_weight: 1.0 } | Term::Dice);
        if loss.terms.iter().all(|weighted| plain(weighted.term) && weighted.weight == 1.0) {
            let has = |of: fn(&Term) -> bool| loss.terms.iter().any(|weighted| of(&weighted.term));
            let which = [has(|term| matches!(term, Term::Bce { .. })), has(|term| matches!(term, Term::Dice))];
            let (losses, gradient) = kernels::loss(which, z, y, scale)?;
            return Ok((losses, gradient.reshape([batch, 1, height, width])));
        }
        let binary = Binary { p: sigmoid(z.clone()), z, y, side: [height, width] };
        let (mut losses, mut gradient) = (None, None);
        for weighted in &loss.terms {
            let (own, slope) = binary.term(weighted.term)?;
            let add = |sum: Option<Tensor<2>>, more: Tensor<2>| Some(sum.map_or(more.clone(), |sum| sum + more));
            losses = add(losses, own * weighted.weight);
            gradient = add(gradient, slope * weighted.weight);
        }
        let missing = || StageError::new("a loss without terms");
        let losses = losses.ok_or_else(missing)?.reshape([batch]);
        Ok((losses, (gradient.ok_or_else(missing)? * scale).reshape([batch, 1, height, width])))
    }

    /// The same on the host: the logits are downloaded, and the gradient is uploaded. clDice's skeletons are chains of minima and
    /// maxima over neighbours, each of which would cost burn's tensors another map.
    fn on_host(&self, loss: &Loss, logits: Tensor<4>, labels: &[u8], scale: f32) -> Tried<(Tensor<1>, Tensor<4>)> {
        let dims @ [batch, classes, height, width] = logits.dims();
        let area = Area { batch, height, width };
        let mut values = self.download(logits)?;
        let mut losses = vec![0.0; batch];
        let mut workspace = zeros(pipeline_kernels::loss_workspace(&loss.terms, classes, area))?;
        let targets = Targets { labels, classes, ignore: (classes > 1).then_some(IGNORED) };
        pipeline_kernels::loss(&loss.terms, &mut values, targets, area, scale, &mut losses, &mut workspace);
        let device = self.device();
        let losses = Tensor::from_data(TensorData::new(losses, [batch]), (&device, DType::F32));
        // Uploaded flat: rows would be padded.
        let count = values.len();
        let gradient = Tensor::<1>::from_data(TensorData::new(values, [count]), (&device, DType::F32));
        Ok((losses, gradient.reshape(dims)))
    }

    /// The same for several classes, `[batch, classes, height, width]`.
    fn classes(&self, loss: &Loss, logits: Tensor<4>, labels: &[u8], scale: f32) -> Tried<(Tensor<1>, Tensor<4>)> {
        let [batch, classes, height, width] = logits.dims();
        let side = [height, width];
        let label = kernels::integers(labels, &logits)?.reshape([batch, 1, height * width]);
        let numbers = Tensor::<1, Int>::arange(0..classes as i64, &self.device()).reshape([1, classes, 1]);
        let is = |mask: Tensor<3, burn::tensor::Bool>| mask.float();
        let known = is(label.clone().not_equal_elem(i32::from(IGNORED)));
        let t = is(label.expand([batch, classes, height * width]).equal(numbers.expand([batch, classes, height * width])));
        let log = log_softmax(logits.reshape([batch, classes, height * width]), 1);
        let p = log.clone().exp();
        let over = |values: Tensor<3>| sums(values.reshape([batch * classes, height * width]), side).reshape([batch, classes]);
        let (mut losses, mut gradient) = (Tensor::<2>::zeros([batch, 1], &self.device()), p.zeros_like());
        for weighted in &loss.terms {
            let (own, slope) = match weighted.term {
                Term::CrossEntropy => {
                    let count = sums(known.clone().reshape([batch, height * width]), side).clamp_min(1.0);
                    let entropy = over(log.clone() * t.clone()).sum_dim(1).neg() / count.clone();
                    (entropy, (p.clone() - t.clone()) * known.clone() / count.unsqueeze_dim::<3>(2))
                }
                Term::ClassDice { background } => {
                    let q = p.clone() * known.clone();
                    let hits = over(q.clone() * t.clone()) * 2.0 + EPSILON;
                    let total = over(q) + over(t.clone()) + EPSILON;
                    let ratio = hits / total.clone();
                    let counted = if background { classes } else { classes - 1 };
                    let share = Tensor::<2>::ones([1, classes], &self.device()) / counted as f64;
                    let share = if background { share } else { share.slice_fill([0..1, 0..1], 0.0) };
                    let own = ((ratio.clone().neg() + 1.0) * share.clone()).sum_dim(1);
                    let by = (ratio.unsqueeze_dim::<3>(2) - t.clone() * 2.0) / total.unsqueeze_dim::<3>(2)
                        * share.unsqueeze_dim::<3>(2)
                        * known.clone();
                    let mean = (by.clone() * p.clone()).sum_dim(1);
                    (own, (by - mean) * p.clone())
                }
                _ => return Err(StageError::new("a loss of one class on several classes of logits").into()),
            };
            losses = losses + own * weighted.weight;
            gradient = gradient + slope * weighted.weight;
        }
        Ok((losses.reshape([batch]), (gradient * scale).reshape([batch, classes, height, width])))
    }
}

impl LossBackend for Graphics<'_> {
    fn loss(&mut self, loss: &Loss, logits: &mut Map<Tensor<4>>, labels: &[u8], scale: f32, part: Part) -> Tried<()> {
        let (mut losses, scale, classes) = (None, scale * part.weight, logits.channels);
        replace(&mut logits.data, |logits| {
            let on_host = loss.terms.iter().any(|weighted| matches!(weighted.term, Term::ClDice { .. }));
            let made = match classes {
                _ if on_host => self.on_host(loss, logits, labels, scale)?,
                1 => self.binary(loss, logits, labels, scale)?,
                _ => self.classes(loss, logits, labels, scale)?,
            };
            losses = Some(if part.weight == 1.0 { made.0 } else { made.0 * part.weight });
            Ok(made.1)
        })?;
        match (losses, self.losses.last_mut()) {
            (Some(losses), Some(last)) if !part.first => last.inplace(|last| last + losses),
            (losses, _) => self.losses.extend(losses),
        }
        Ok(())
    }

    fn loss_scratch(&self, loss: &Loss, classes: usize, area: Area) -> Scratch {
        GraphicsCosts.loss(loss, classes, area)
    }
}
