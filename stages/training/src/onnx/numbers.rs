//! Checks a model by numbers: the probabilities that the interpreter gives for a random image are those that the network gives.
//! How the two compute them is up to `interpreter` and `trainee`.

use pipeline_contract::{Result, StageError, stage_rng};
use rand::RngExt as _;

use super::about::About;
use super::array::Array;
use super::interpreter::{self, Arithmetic};
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

/// A larger difference between two probabilities is looked into.
const PROBABILITY: f64 = 1e-5;
/// The same of logits, as a share of their norm. Probabilities alone wouldn't show what is wrong with a network that is sure of all
/// pixels.
const LOGITS: f64 = 1e-4;
/// By how much two ways to round may differ.
const ROUNDING: f64 = 10.0;

/// How far apart two predictions are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Difference {
    /// The largest difference between two probabilities.
    pub probabilities: f64,
    /// The root of the sum of the squares of the differences between logits, over that of the logits.
    pub logits: f64,
}

impl Difference {
    fn between(actual: &Prediction, expected: &Prediction) -> Self {
        let apart = |actual: &Array, expected: &Array| -> Vec<f64> {
            actual.values.iter().zip(&expected.values).map(|(actual, expected)| (actual - expected).abs()).collect()
        };
        let norm = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
        let logits = norm(&apart(&actual.logits, &expected.logits)) / norm(&expected.logits.values).max(f64::MIN_POSITIVE);
        // `max` alone would pass over what isn't a number.
        let larger = |largest: f64, value: f64| if value.is_nan() { f64::NAN } else { largest.max(value) };
        let probabilities = apart(&actual.probabilities, &expected.probabilities).into_iter().fold(0.0, larger);
        Self { probabilities, logits }
    }

    fn is_within(self, probabilities: f64, logits: f64) -> bool {
        self.probabilities <= probabilities && self.logits <= logits
    }
}

/// Checks that the graph computes what the network computes in float32 on the CPU, on random images. A network may magnify rounding:
/// where the difference isn't small, it is compared with what rounding alone does to the graph's own result.
///
/// # Errors
/// When the difference is larger than rounding explains, a value isn't finite, or either can't be computed.
pub(super) fn check(
    graph: &GraphMessage,
    network: &Network,
    values: Values,
    about: &About,
    size: [usize; 3],
) -> Result<Difference> {
    let images = random(size);
    let own = predict(network, values, about, size, &images)?;
    let run = |arithmetic| interpret(graph, network, size, &images, arithmetic);
    let exact = run(Arithmetic::Float64)?;
    let difference = Difference::between(&own, &exact);
    if difference.is_within(PROBABILITY, LOGITS) {
        return Ok(difference);
    }
    let rounding = Difference::between(&run(Arithmetic::Float32)?, &exact);
    if difference.is_within(PROBABILITY.max(ROUNDING * rounding.probabilities), LOGITS.max(ROUNDING * rounding.logits)) {
        return Ok(difference);
    }
    let Difference { probabilities, logits } = difference;
    let message = format!(
        "the ONNX graph doesn't compute what the network does: probabilities of a random image differ by up to \
         {probabilities:.1e}, logits by {logits:.1e} of their norm"
    );
    Err(StageError::new(message)
        .help("are all weights finite? If so, this is a bug of this program; the weights file is right"))
}

/// Sizes of the images that a network of this stride is compared on: a height and a width that differ, of at least 64 pixels, and
/// of several pixels at the deepest level.
pub(super) fn sizes(stride: usize) -> [usize; 2] {
    let times = (64 / stride.max(1)).max(2);
    [times * stride, (times + 1) * stride]
}

/// The logits and probabilities of some images, `[batch, classes, height, width]`.
struct Prediction {
    logits: Array,
    probabilities: Array,
}

/// Images `[batch, height, width, 3]`.
fn random([batch, height, width]: [usize; 3]) -> Vec<u8> {
    let mut rng = stage_rng(0, 0, "images", "onnx");
    (0..batch * height * width * 3).map(|_| rng.random()).collect()
}

/// What the graph says of images `[batch, height, width, 3]`.
fn interpret(
    graph: &GraphMessage,
    network: &Network,
    [batch, height, width]: [usize; 3],
    images: &[u8],
    arithmetic: Arithmetic,
) -> Result<Prediction> {
    let pixels = height * width;
    // The network reads colours last, the model colours first.
    let value = |at: usize| {
        let (image, channel, pixel) = (at / (3 * pixels), at / pixels % 3, at % pixels);
        f64::from(images[(image * pixels + pixel) * 3 + channel])
    };
    let planes = Array::new(&[batch, 3, height, width], (0..images.len()).map(value).collect())?;
    let logits = graph.node.last().and_then(|operator| operator.input.first()).map_or("", String::as_str);
    let made = interpreter::run(graph, vec![(IMAGE, planes)], &[logits, PROBABILITIES], arithmetic)?;
    let shape = [batch, network.classes, height, width];
    match <[Array; 2]>::try_from(made) {
        Ok([logits, probabilities]) if logits.shape == shape && probabilities.shape == shape => {
            Ok(Prediction { logits, probabilities })
        }
        _ => Err(StageError::new(format!("the ONNX graph gives other shapes than {shape:?}"))),
    }
}

/// What the network says of images `[batch, height, width, 3]`.
fn predict(
    network: &Network,
    values: Values,
    about: &About,
    [batch, height, width]: [usize; 3],
    images: &[u8],
) -> Result<Prediction> {
    let state = State::upload(values, &device::open("cpu")?.device)?;
    let mut trainee = Trainee::new(network.clone(), state, Loss::default(), Setting::default(), Ledger::default())?;
    let logits = trainee.predict(&MicroBatch {
        samples: (0..batch).map(|at| format!("random {at}").into()).collect(),
        height,
        width,
        pixels: Pixels::Bytes(images.to_vec(), about.normalization),
        masks: vec![0; batch * height * width],
    })?;
    let mut probabilities = logits.clone();
    let image = (network.classes * height * width).max(1);
    probabilities.chunks_mut(image).for_each(|image| to_probabilities(image, network.classes));
    let shape = [batch, network.classes, height, width];
    let array = |values: Vec<f32>| Array::new(&shape, values.into_iter().map(f64::from).collect());
    Ok(Prediction { logits: array(logits)?, probabilities: array(probabilities)? })
}
