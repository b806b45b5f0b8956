//! Prediction window by window: against what PyTorch computes with the same network, against the whole image, and at every edge.
#![allow(clippy::expect_used, reason = "tests may panic")]

mod common;

use std::path::Path;

use pipeline_contract::{Result, StageError};
use pipeline_images::{Beyond, Normalization};
use pipeline_training::loss::Loss;
use pipeline_training::memory::Ledger;
use pipeline_training::micro_batch::{MicroBatch, Pixels};
use pipeline_training::networks::UNetConfig;
use pipeline_training::policy::Setting;
use pipeline_training::sliding::{Windows, predict};
use pipeline_training::trainee::Trainee;
use pipeline_training::weights;
use safetensors::SafeTensors;

const FIXTURE: &str = "../../../shared/parity/fixtures2/tiles.safetensors";

fn floats(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let bytes = file.tensor(name).expect(name).data();
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn counts(file: &SafeTensors<'_>, name: &str) -> Vec<isize> {
    let bytes = file.tensor(name).expect(name).data();
    bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as isize).collect()
}

/// The top left part of planes `[3, height, width]` as `[rows, columns, 3]`.
fn interleaved(planes: &[u8], [height, width]: [usize; 2], [rows, columns]: [usize; 2]) -> Vec<u8> {
    let at = |row: usize, column: usize| (0..3).map(move |channel| planes[(channel * height + row) * width + column]);
    (0..rows).flat_map(|row| (0..columns).flat_map(move |column| at(row, column))).collect()
}

#[test]
fn windows_are_those_of_pytorch_and_their_map_is_too() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FIXTURE);
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("{} is not on this machine: nothing is compared", path.display());
        return;
    };
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let network = UNetConfig::new(4, 3, "group").expect("a small network").network();
    let state = weights::load(&network.layout, &file, "init.", &common::cpu()).expect("the network's tensors");
    let mut trainee =
        Trainee::new(network, state, Loss::default(), Setting::default(), Ledger::default()).expect("enough memory");
    let image = file.tensor("image").expect("the photograph");
    let [_, height, width] = *image.shape() else { panic!("three planes") };
    for (case, size, window, overlap) in [
        ("quarter", [150, 202], [64, 64], 0.25),
        ("half", [150, 202], [64, 96], 0.5),
        ("exact", [128, 64], [64, 64], 0.5),
        ("small", [50, 101], [64, 64], 0.6),
    ] {
        // The reference pads a smaller image with zeros.
        let windows = Windows::new(size, window, overlap).expect("a valid overlap").beyond(Beyond::Black);
        let [before_rows, before_columns] = [0, 1].map(|axis| (window[axis].saturating_sub(size[axis]) / 2) as isize);
        let (rows, columns) = (counts(&file, &format!("{case}.rows")), counts(&file, &format!("{case}.columns")));
        let expected =
            rows.iter().flat_map(|row| columns.iter().map(move |column| [row - before_rows, column - before_columns]));
        assert_eq!(windows.starts().collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{case}");
        let weights = floats(&file, &format!("{case}.weights"));
        let furthest = weights.iter().zip(windows.weights()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(weights.len() == windows.weights().len() && furthest <= 1e-7, "{case}: weights differ by {furthest}");

        let pixels = interleaved(image.data(), [height, width], size);
        let wanted = floats(&file, &format!("{case}.probabilities"));
        for batch in [1, 5] {
            let map = predict(&pixels, Normalization::default(), &windows, 1, batch, &mut |batch| trainee.predict(&batch))
                .expect("windows that fit the network");
            assert_eq!(map.len(), wanted.len(), "{case}");
            let differences: Vec<f64> = map.iter().zip(&wanted).map(|(a, b)| f64::from((a - b).abs())).collect();
            let (most, mean) =
                (differences.iter().copied().fold(0.0, f64::max), differences.iter().sum::<f64>() / wanted.len() as f64);
            assert!(most <= 4e-4 && mean <= 3e-6, "{case}: at most {most}, on average {mean}");
        }
    }
}

/// Pixels of which no two neighbours are alike.
fn photograph([height, width]: [usize; 2]) -> Vec<u8> {
    (0..height * width * 3).map(|at| (at * 37 % 251) as u8).collect()
}

fn bytes(batch: &MicroBatch) -> Result<&[u8]> {
    match &batch.pixels {
        Pixels::Bytes(bytes, _) => Ok(bytes),
        Pixels::Floats(_) => Err(StageError::new("windows are bytes")),
    }
}

/// A network that sees one pixel: the logit of class `c` is its colour `c`, a little of it.
fn colours(batch: &MicroBatch, classes: usize) -> Result<Vec<f32>> {
    let area = batch.height * batch.width;
    let images = bytes(batch)?.chunks_exact(3 * area);
    let logit = |image: &[u8], class: usize, at: usize| f32::from(image[3 * at + class]) / 100.0 - 1.0;
    Ok(images.flat_map(|image| (0..classes).flat_map(move |class| (0..area).map(move |at| logit(image, class, at)))).collect())
}

/// A network that sees its neighbours, and zeros beyond the window, as a convolution of 3 x 3 does.
fn neighbours(batch: &MicroBatch) -> Result<Vec<f32>> {
    let (height, width) = (batch.height as isize, batch.width as isize);
    let mut logits = Vec::new();
    for image in bytes(batch)?.chunks_exact(3 * batch.height * batch.width) {
        for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column))) {
            let around = (-1..=1).flat_map(|down| (-1..=1).map(move |right| (row + down, column + right)));
            let inside = around.filter(|&(row, column)| (0..height).contains(&row) && (0..width).contains(&column));
            let sum: f32 = inside.map(|(row, column)| f32::from(image[3 * (row * width + column) as usize])).sum();
            logits.push(sum / 1000.0 - 1.0);
        }
    }
    Ok(logits)
}

fn whole(pixels: Vec<u8>, [height, width]: [usize; 2]) -> MicroBatch {
    let pixels = Pixels::Bytes(pixels, Normalization::default());
    MicroBatch { samples: vec!["whole".into()], height, width, pixels, masks: vec![0; height * width] }
}

#[test]
fn what_depends_on_a_pixel_alone_is_the_same_as_on_the_whole_image() {
    for (size, window, overlap) in [
        ([37, 53], [16, 16], 0.5),
        ([37, 53], [16, 20], 0.0),
        ([16, 53], [16, 9], 0.9),
        ([5, 7], [16, 24], 0.25),
        ([40, 3], [8, 8], 0.5),
        ([1, 1], [4, 4], 0.5),
    ] {
        let (pixels, windows) = (photograph(size), Windows::new(size, window, overlap).expect("a valid overlap"));
        for classes in [1, 3] {
            let map = predict(&pixels, Normalization::default(), &windows, classes, 3, &mut |batch| colours(&batch, classes))
                .expect("as many logits as pixels");
            let mut expected = colours(&whole(pixels.clone(), size), classes).expect("bytes");
            pipeline_training::sliding::to_probabilities(&mut expected, classes);
            // Weights of the windows over a pixel sum to one.
            assert!(map.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{size:?} by {window:?}, {classes} classes");
        }
    }
}

#[test]
fn inside_all_windows_over_it_a_pixel_is_predicted_as_on_the_whole_image() {
    let (size, window) = ([40, 60], [16, 24]);
    let (pixels, windows) = (photograph(size), Windows::new(size, window, 0.5).expect("a valid overlap"));
    let map = predict(&pixels, Normalization::default(), &windows, 1, 4, &mut |batch| neighbours(&batch)).expect("logits");
    let mut expected = neighbours(&whole(pixels, size)).expect("bytes");
    pipeline_training::sliding::to_probabilities(&mut expected, 1);
    let mut differ = 0;
    for (at, (value, wanted)) in map.iter().zip(&expected).enumerate() {
        let place = [at / 60, at % 60];
        // An edge of a window that is one of the image too cuts nothing off.
        let cut = |start: [isize; 2]| {
            (0..2).any(|axis| {
                let (start, at) = (start[axis] as usize, place[axis]);
                (at == start && start > 0) || (at + 1 == start + window[axis] && at + 1 < size[axis])
            })
        };
        let holds = |start: &[isize; 2]| {
            (0..2).all(|axis| (start[axis] as usize..start[axis] as usize + window[axis]).contains(&place[axis]))
        };
        match windows.starts().filter(holds).any(cut) {
            false => assert!((value - wanted).abs() < 1e-6, "{place:?}: {value} instead of {wanted}"),
            true => differ += usize::from((value - wanted).abs() > 1e-6),
        }
    }
    assert!(differ > 0, "a window's edges show");
}

#[test]
fn what_does_not_fit_is_an_error() {
    assert!(Windows::new([8, 8], [0, 8], 0.5).is_err() && Windows::new([8, 8], [8, 8], 1.0).is_err());
    assert!(Windows::new([8, 8], [8, 8], f64::NAN).is_err());
    let windows = Windows::new([8, 8], [4, 4], 0.5).expect("valid");
    let none = Normalization::default();
    assert!(predict(&[0; 10], none, &windows, 1, 1, &mut |batch| colours(&batch, 1)).is_err());
    assert!(predict(&photograph([8, 8]), none, &windows, 1, 1, &mut |_| Ok(vec![0.0])).is_err());
    let failed = predict(&photograph([8, 8]), none, &windows, 1, 1, &mut |_| Err(StageError::new("the device")));
    assert_eq!(failed.map_err(|error| error.message().to_owned()), Err("the device".to_owned()));
}
