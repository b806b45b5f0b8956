//! Times the losses on an image of one megapixel: `cargo bench -p pipeline-kernels --bench loss`.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use pipeline_kernels::{Area, Targets, Term, WeightedTerm, loss, loss_workspace};

const SIDE: usize = 1024;

/// The fastest of a few runs, in milliseconds.
fn milliseconds(terms: &[Term], classes: usize) -> f64 {
    let terms: Vec<WeightedTerm> = terms.iter().map(|term| WeightedTerm { term: *term, weight: 1.0 }).collect();
    let area = Area { batch: 1, height: SIDE, width: SIDE };
    let logits: Vec<f32> = (0..area.values(classes)).map(|index| (index * 7919 % 1013) as f32 / 100.0 - 5.0).collect();
    // Bars of vessels, 6 pixels wide, or bands of classes.
    let label = |index: usize| if classes == 1 { u8::from(index % 40 < 6) } else { (index / SIDE / 16 % classes) as u8 };
    let labels: Vec<u8> = (0..area.pixels()).map(label).collect();
    let targets = Targets { labels: &labels, classes, ignore: Some(255) };
    let mut workspace = vec![0.0; loss_workspace(&terms, classes, area)];
    let mut z = logits.clone();
    let times = (0..20).map(|_| {
        z.copy_from_slice(&logits);
        let start = Instant::now();
        loss(&terms, &mut z, targets, area, 1.0, &mut [0.0], &mut workspace);
        start.elapsed().as_secs_f64() * 1e3
    });
    times.fold(f64::INFINITY, f64::min)
}

fn main() {
    println!("{} threads, milliseconds per megapixel, and against bce_dice", rayon::current_num_threads());
    let bce = Term::Bce { pos_weight: 1.0 };
    let base = milliseconds(&[bce, Term::Dice], 1);
    let show = |name: &str, terms: &[Term], classes: usize| {
        let (time, area) = (milliseconds(terms, classes), Area { batch: 1, height: SIDE, width: SIDE });
        let weighted: Vec<WeightedTerm> = terms.iter().map(|term| WeightedTerm { term: *term, weight: 1.0 }).collect();
        let workspace = loss_workspace(&weighted, classes, area) as f64 / f64::from(1 << 18);
        println!("{name:24} {time:6.1} {:5.2}, workspace {workspace:.1} MiB", time / base);
    };
    show("bce + dice", &[bce, Term::Dice], 1);
    show("bce", &[bce], 1);
    show("bce, pos_weight 5", &[Term::Bce { pos_weight: 5.0 }], 1);
    show("dice", &[Term::Dice], 1);
    show("focal", &[Term::Focal { gamma: 2.0, alpha: Some(0.25) }], 1);
    show("tversky", &[Term::Tversky { alpha: 0.3, beta: 0.7 }], 1);
    show("focal tversky", &[Term::FocalTversky { alpha: 0.3, beta: 0.7, gamma: 4.0 / 3.0 }], 1);
    for iterations in [1, 3, 10] {
        show(&format!("cldice, {iterations} iterations"), &[Term::ClDice { iterations }], 1);
    }
    show("bce + dice + cldice, 3", &[bce, Term::Dice, Term::ClDice { iterations: 3 }], 1);
    for classes in [2, 4, 8] {
        show(&format!("cross-entropy, {classes}"), &[Term::CrossEntropy], classes);
        let both = [Term::CrossEntropy, Term::ClassDice { background: true }];
        show(&format!("cross-entropy + dice, {classes}"), &both, classes);
    }
}
