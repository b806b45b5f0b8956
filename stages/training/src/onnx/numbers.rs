//! Checks a model by numbers: the probabilities that the interpreter gives for a random image are those that the network gives.
//! How the two compute them is up to `interpreter` and `trainee`.

use pipeline_contract::{Result, StageError, stage_rng};
use rand::RngExt as _;

use super::about::About;
use super::array::Array;
use super::interpreter;
use super::model::{IMAGE, PROBABILITIES};
use super::proto::GraphMessage;
use crate::device;
use crate::loss::Loss;
use crate::memory::Ledger;
use crate::micro_batch::{MicroBatch, Pixels};
use crate::network::Network;
use crate::parameters::{State, Values};
use crate::policy::Setting;
use crate::sliding::to_probabilities;
use crate::trainee::Trainee;

/// The largest difference between two probabilities that rounding explains.
pub(super) const PROBABILITY: f64 = 1e-5;
/// The same of logits, as the root of the squares of the differences over that of the logits. Probabilities alone wouldn't show what is wrong with a
/// network that is sure of all pixels.
const LOGITS: f64 = 1e-4;

/// How far apart two predictions are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Difference {
    /// The largest difference between two probabilities.
    pub probabilities: f64,
    /// The root of the sum of the squares of the differences between logits, over that of the network's logits.
    pub logits: f64,
}

impl Difference {
    /// Accepts what rounding explains.
    ///
    /// # Errors
    /// When there is more, or when a value isn't finite.
    pub fn check(self) -> Result<Self> {
        if self.probabilities <= PROBABILITY && self.logits <= LOGITS {
            return Ok(self);
        }
        let Self { probabilities, logits } = self;
        let message = format!(
            "the ONNX graph doesn't compute what the network does: probabilities of a random image differ by up to \
             {probabilities:.1e}, logits by {logits:.1e} of their norm"
        );
        Err(StageError::new(message)
            .help("are all weights finite? If so, this is a bug of this program; the weights file is right"))
    }
}

/// Sizes of the images that a network of this stride is compared on: a height and a width that differ, of at least 64 pixels, and
/// of several pixels at the deepest level.
pub(super) fn sizes(stride: usize) -> [usize; 2] {
    let times = (64 / stride.max(1)).max(2);
    [times * stride, (times + 1) * stride]
}

/// Compares the graph with the network, in float32 on the CPU, on random images.
///
/// # Errors
/// When either can't be computed.
pub(super) fn compare(
    graph: &GraphMessage,
    network: &Network,
    values: Values,
    about: &About,
    [batch, height, width]: [usize; 3],
) -> Result<Difference> {
    let (pixels, mut rng) = (height * width, stage_rng(0, 0, "images", "onnx"));
    let images: Vec<u8> = (0..batch * pixels * 3).map(|_| rng.random()).collect();
    let logits = predict(network, values, about, (batch, height, width), &images)?;
    let mut probabilities = logits.clone();
    probabilities.chunks_mut((pixels * network.classes).max(1)).for_each(|image| to_probabilities(image, network.classes));
    // The network reads colours last, the model colours first.
    let value = |at: usize| {
        let (image, channel, pixel) = (at / (3 * pixels), at / pixels % 3, at % pixels);
        f64::from(images[(image * pixels + pixel) * 3 + channel])
    };
    let planes = Array::new(&[batch, 3, height, width], (0..images.len()).map(value).collect())?;
    let last = graph.node.last().and_then(|operator| operator.input.first()).map_or("", String::as_str);
    let made = interpreter::run(graph, vec![(IMAGE, planes)], &[last, PROBABILITIES])?;
    let shape = [batch, network.classes, height, width];
    match made.as_slice() {
        [a, b] if a.shape == shape && b.shape == shape => {
            let apart = |ours: &[f32], theirs: &Array| -> Vec<f64> {
                ours.iter().zip(&theirs.values).map(|(ours, theirs)| f64::from(*ours) - theirs).collect()
            };
            let norm = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
            let own: Vec<f64> = logits.iter().map(|&logit| logit.into()).collect();
            let logits = norm(&apart(&logits, a)) / norm(&own).max(f64::MIN_POSITIVE);
            // `max` alone would pass over what isn't a number.
            let larger = |largest: f64, value: f64| if value.is_nan() { f64::NAN } else { largest.max(value) };
            let apart = apart(&probabilities, b).into_iter().map(f64::abs);
            Ok(Difference { probabilities: apart.fold(0.0, larger), logits })
        }
        _ => Err(StageError::new(format!("the ONNX graph gives other shapes than {shape:?}"))),
    }
}

/// The network's logits for 8-bit images `[batch, height, width, 3]`.
fn predict(
    network: &Network,
    values: Values,
    about: &About,
    (batch, height, width): (usize, usize, usize),
    images: &[u8],
) -> Result<Vec<f32>> {
    let state = State::upload(values, &device::open("cpu")?.device)?;
    let mut trainee = Trainee::new(network.clone(), state, Loss::default(), Setting::default(), Ledger::default())?;
    trainee.predict(&MicroBatch {
        samples: (0..batch).map(|at| format!("random {at}").into()).collect(),
        height,
        width,
        pixels: Pixels::Bytes(images.to_vec(), about.normalization),
        masks: vec![0; batch * height * width],
    })
}
