//! The prediction of one network or the mean of several, of an image as it is and turned.

use std::borrow::Cow;

use pipeline_contract::memory::{self, Side};
use pipeline_contract::{Events, Result};

use super::output::NetworkOutput;
use super::tiles::Tiling;
use super::turns::Turn;
use crate::micro_batch::{MicroBatch, Pixels};
use crate::trainee::{Shared, Trainee};

/// What networks say of each image of a batch, `[classes, height, width]`. Of one network as it is, its logits where it isn't tiled; otherwise the
/// mean of the probabilities over networks and turns, in their order.
///
/// Reductions of memory are reported to `events`, as of epoch `epoch`.
///
/// # Errors
/// When the images don't fit a network, or the device fails.
pub(in crate::stages) fn predict(
    networks: &[Shared],
    batch: &MicroBatch,
    tiles: Option<&Tiling>,
    turns: &[Turn],
    (events, epoch): (&dyn Events, u64),
) -> Result<Vec<NetworkOutput>> {
    let one = |network: &Shared, batch: &MicroBatch| {
        let mut trainee = network.lock()?;
        let outputs = single(&mut trainee, batch, tiles);
        trainee.tell(events, epoch);
        outputs.map(|outputs| (outputs, trainee.network.classes))
    };
    if let ([network], true) = (networks, turns.iter().all(|turn| turn.is_none())) {
        return one(network, batch).map(|(outputs, _)| outputs);
    }
    let size = [batch.height, batch.width];
    let mut sums: Vec<Vec<f32>> = Vec::new();
    for &turn in turns {
        let turned = turned(batch, turn);
        for network in networks {
            let (outputs, classes) = one(network, &turned)?;
            let _host = memory::enter(Side::Host);
            sums.resize_with(outputs.len(), || vec![0.0; classes * size[0] * size[1]]);
            for (sums, output) in sums.iter_mut().zip(outputs) {
                turn.add_back(&output.probabilities(classes), size, sums);
            }
        }
    }
    let count = (turns.len() * networks.len()) as f32;
    sums.iter_mut().flatten().for_each(|sum| *sum /= count);
    Ok(sums.into_iter().map(NetworkOutput::Probabilities).collect())
}

/// What one network says.
fn single(trainee: &mut Trainee, batch: &MicroBatch, tiles: Option<&Tiling>) -> Result<Vec<NetworkOutput>> {
    let size = [batch.height, batch.width];
    match tiles {
        // One tile is the image.
        Some(tiles) if !tiles.is_whole(size) => {
            Ok(tiles.predict(trainee, batch)?.into_iter().map(NetworkOutput::Probabilities).collect())
        }
        _ => {
            let logits = trainee.predict(batch)?;
            let _host = memory::enter(Side::Host);
            let each = (trainee.network.classes * size[0] * size[1]).max(1);
            Ok(logits.chunks_exact(each).map(|logits| NetworkOutput::Logits(logits.to_vec())).collect())
        }
    }
}

fn turned(batch: &MicroBatch, turn: Turn) -> Cow<'_, MicroBatch> {
    let Pixels::Bytes(images, normalization) = &batch.pixels else { return Cow::Borrowed(batch) };
    if turn.is_none() {
        return Cow::Borrowed(batch);
    }
    let _host = memory::enter(Side::Host);
    let size = [batch.height, batch.width];
    let [height, width] = turn.size(size);
    let pixels = Pixels::Bytes(turn.turned(images, size), *normalization);
    // No mask is looked at in a prediction.
    Cow::Owned(MicroBatch { samples: batch.samples.clone(), height, width, pixels, masks: vec![0; batch.masks.len()] })
}
