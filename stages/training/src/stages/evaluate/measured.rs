//! The figures of an evaluation, gathered image by image: means with their intervals, and what is pooled over all pixels. Saved in checkpoints.

use pipeline_contract::events::Named;
use pipeline_contract::{Buffer, Direction, Metric, Result, Saved, StageError};
use pipeline_images::Classes;
use pipeline_metrics::{Confusion, RocAuc, bootstrap};
use serde::{Deserialize, Serialize};

use super::score::{FIGURES, OF_A_CLASS, Scored, THRESHOLDS, accuracy, mean, of_class, threshold_at};

/// The metrics of an `eval` event, in the order of [`Measured::values`]: means over the images, then figures over the pixels of all.
pub(super) const METRICS: [Metric; FIGURES.len() + 7] = [
    Metric::max("dice").shown_as("dice"),
    Metric::max("iou"),
    Metric::max("sensitivity"),
    Metric::max("specificity"),
    Metric::max("accuracy"),
    Metric::max("auc").shown_as("AUC"),
    Metric::max("average_precision"),
    Metric::max("mcc"),
    Metric::max("cldice").shown_as("clDice"),
    Metric::min("betti0_error"),
    Metric::min("betti1_error"),
    Metric::min("hausdorff95"),
    Metric::max("dice_without_both_empty"),
    Metric::max("dice_pooled"),
    Metric::max("iou_pooled"),
    Metric::max("sensitivity_pooled"),
    Metric::max("specificity_pooled"),
    Metric::max("accuracy_pooled"),
    Metric::max("auc_pooled"),
];

/// How often images are drawn again for an interval.
const RESAMPLES: usize = 2000;

/// The figures of the images so far.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// An image each, in the order of the test set.
    pub images: Vec<Scored>,
    /// The ROC curve over all pixels; empty with several classes. `None` before the first image.
    pub roc: Option<RocAuc>,
}

impl Measured {
    /// The mean over the images that have a figure.
    fn mean(&self, figure: usize) -> Option<f64> {
        mean(self.images.iter().filter_map(|image| image.values[figure]))
    }

    /// The pixels of all images, by class.
    fn pooled(&self) -> Vec<Confusion> {
        let mut pooled = vec![Confusion::default(); self.images.first().map_or(0, |image| image.counts.len())];
        for image in &self.images {
            pooled.iter_mut().zip(&image.counts).for_each(|(pooled, &counts)| pooled.add(counts));
        }
        pooled
    }

    /// How many images have nothing in mask and prediction.
    pub fn both_empty(&self) -> u64 {
        self.images.iter().filter(|image| image.is_empty()).count() as u64
    }

    /// The values of the [`METRICS`]. With several classes each is the mean over all classes except the background; accuracy is over all
    /// pixels, and shapes and curves aren't measured.
    pub fn values(&self) -> [Option<f64>; METRICS.len()] {
        let mut values = [None; METRICS.len()];
        for (at, value) in values.iter_mut().enumerate().take(FIGURES.len()) {
            *value = self.mean(at);
        }
        let found = self.images.iter().filter(|image| !image.is_empty());
        let pooled = self.pooled();
        let classes = &pooled[usize::from(pooled.len() > 1)..];
        let over = |figure: usize| mean(classes.iter().filter_map(|class| of_class(class)[figure]));
        let accuracy = if pooled.len() > 1 { accuracy(&pooled) } else { pooled.first().and_then(Confusion::accuracy) };
        let rest = [
            mean(found.filter_map(|image| image.values[0])),
            over(0),
            over(1),
            over(2),
            over(3),
            accuracy,
            self.roc.as_ref().and_then(RocAuc::value),
        ];
        values[FIGURES.len()..].copy_from_slice(&rest);
        values
    }

    /// The 95% intervals of the means over the images, by bootstrap; only of figures that at least two images have.
    pub fn intervals(&self, seed: u64) -> Named<[f64; 2]> {
        let interval = |(at, &name): (usize, &&'static str)| {
            let values: Vec<f64> = self.images.iter().filter_map(|image| image.values[at]).collect();
            Some((name, bootstrap(&values, seed, RESAMPLES)?))
        };
        FIGURES.iter().enumerate().filter_map(interval).collect()
    }

    /// The threshold with the largest mean Dice, the lower of equal ones, and that Dice; `None` where no curves were asked for.
    pub fn best_threshold(&self) -> Option<(f32, f64)> {
        let dice = |at: usize| mean(self.images.iter().filter_map(|image| image.curve.get(at).copied()));
        let curve = (0..THRESHOLDS).map(|at| Some((threshold_at(at), dice(at)?))).collect::<Option<Vec<_>>>()?;
        curve.into_iter().reduce(|best, next| if Direction::Max.is_better(next.1, best.1) { next } else { best })
    }

    /// The figures of each class except the background, by class name: means over the images; empty for a model with one class.
    pub fn by_class(&self, names: &Classes) -> Named<Named<Option<f64>>> {
        let classes = self.images.first().map_or(0, |image| image.counts.len());
        let figures = |class: usize| -> Named<Option<f64>> {
            let value = |figure: usize| mean(self.images.iter().filter_map(|image| of_class(&image.counts[class])[figure]));
            (0..OF_A_CLASS).map(|figure| (FIGURES[figure], value(figure))).collect()
        };
        (1..classes).zip(names.names.iter().skip(1)).map(|(class, name)| (name.as_str(), figures(class))).collect()
    }

    /// Saves the figures.
    pub fn save(&self, saved: &mut Saved) -> Result<()> {
        saved.set("images", self.images.iter().map(Row::of).collect::<Vec<_>>())?;
        if let Some(roc) = &self.roc {
            saved.keep("roc", Buffer::Counts(roc.counts()));
        }
        Ok(())
    }

    /// Restores what [`Self::save`] saved.
    pub fn restore(saved: &mut Saved) -> Result<Self> {
        let misfit = || StageError::new("the saved figures of the evaluation don't fit each other");
        let rows: Vec<Row> = saved.get("images")?;
        let classes = rows.first().map_or(0, |row| row.counts.len());
        if rows.iter().any(|row| row.counts.len() != classes || row.counts.iter().flatten().any(|&count| count >= MOST_PIXELS))
        {
            return Err(misfit());
        }
        let roc = RocAuc::from_counts(saved.take_counts("roc")?).ok_or_else(misfit)?;
        Ok(Self { images: rows.into_iter().map(Row::image).collect(), roc: Some(roc) })
    }
}

/// More pixels than any image has; saved counts must stay below it so that sums can't overflow.
const MOST_PIXELS: u64 = 1 << 40;

/// An image's figures as they are saved: numbers by their bits.
#[derive(Serialize, Deserialize)]
struct Row {
    sample: String,
    size: [usize; 2],
    inside: bool,
    values: [Option<u64>; FIGURES.len()],
    counts: Vec<[u64; 4]>,
    curve: Vec<u64>,
}

impl Row {
    fn of(image: &Scored) -> Self {
        let counts = |counts: &Confusion| {
            let &Confusion { true_positive, false_positive, false_negative, true_negative } = counts;
            [true_positive, false_positive, false_negative, true_negative]
        };
        Self {
            sample: image.sample.to_string(),
            size: image.size,
            inside: image.inside,
            values: image.values.map(|value| value.map(f64::to_bits)),
            counts: image.counts.iter().map(counts).collect(),
            curve: image.curve.iter().map(|value| value.to_bits()).collect(),
        }
    }

    fn image(self) -> Scored {
        let counts = |[true_positive, false_positive, false_negative, true_negative]: [u64; 4]| Confusion {
            true_positive,
            false_positive,
            false_negative,
            true_negative,
        };
        Scored {
            sample: self.sample.into(),
            size: self.size,
            inside: self.inside,
            values: self.values.map(|bits| bits.map(f64::from_bits)),
            counts: self.counts.into_iter().map(counts).collect(),
            curve: self.curve.into_iter().map(f64::from_bits).collect(),
        }
    }
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "tests may panic")]
mod tests {
    use super::*;
    use crate::stages::evaluate::score::{Job, Rules, learnt};
    use crate::stages::prediction::NetworkOutput;

    /// Figures of the images of these numbers.
    fn measured(classes: usize, images: &[usize]) -> Measured {
        let mut measured = Measured::default();
        images.iter().for_each(|&image| add(&mut measured, classes, image));
        measured
    }

    fn add(measured: &mut Measured, classes: usize, image: usize) {
        let logits: Vec<f32> = (0..6 * classes).map(|at| ((at * 7 + image * 5) % 11) as f32 - 5.0).collect();
        let labels = if image == 0 { [0, 1, 1, 0, 255, 1] } else { [1, 1, 0, 0, 0, 0] };
        let labels = labels.map(|label| if classes == 1 && label == 1 { 255 } else { label });
        let (sample, truth, rules) =
            (format!("s{image}").into(), learnt(&labels, [2, 3]), Rules { threshold: 0.5, curve: true });
        let roc = measured.roc.get_or_insert_default();
        let scored = Job { sample, output: NetworkOutput::Logits(logits), classes, width: 3, truth, rules }.score(
            &mut |probabilities, truth, _| {
                probabilities.iter().zip(truth).for_each(|(&value, &truth)| roc.add((value / (1.0 - value)).ln(), truth != 0));
            },
        );
        measured.images.push(scored);
    }

    #[test]
    fn figures_are_kept_to_the_last_bit() {
        for classes in [1, 3] {
            let mut kept = Saved::default();
            measured(classes, &[0, 1]).save(&mut kept).expect("plain values");
            let mut again = Measured::restore(&mut kept).expect("what was saved");
            add(&mut again, classes, 0);
            let straight = measured(classes, &[0, 1, 0]);
            assert_eq!((&again.images, again.values()), (&straight.images, straight.values()), "{classes}");
            let names = Classes::unnamed(3);
            assert_eq!(again.by_class(&names), straight.by_class(&names));
            assert_eq!((again.best_threshold(), again.intervals(3)), (straight.best_threshold(), straight.intervals(3)));
        }
    }

    #[test]
    fn spoilt_figures_are_refused() {
        let spoilt = |spoil: &dyn Fn(&mut Saved)| {
            let mut kept = Saved::default();
            measured(3, &[0, 1]).save(&mut kept).expect("plain values");
            spoil(&mut kept);
            Measured::restore(&mut kept).is_err()
        };
        let change = |path: &'static str, value: serde_json::Value| {
            move |kept: &mut Saved| {
                let images = kept.values.get_mut("images").and_then(|images| images.pointer_mut(path));
                *images.expect("a field of a row") = value.clone();
            }
        };
        assert!(!spoilt(&|_| {}));
        assert!(spoilt(&change("/1/counts", serde_json::json!([[0, 0, 0, 0]]))), "of another number of classes");
        assert!(spoilt(&change("/0/counts/0/0", u64::MAX.into())));
        assert!(spoilt(&change("/0/values", serde_json::json!([null]))));
        assert!(spoilt(&|kept| kept.keep("roc", Buffer::Counts(vec![0; 11]))));
    }

    #[test]
    fn of_several_classes_each_but_the_background_has_figures_and_there_is_no_auc() {
        let three = measured(3, &[0, 1]);
        let by_class = three.by_class(&Classes::unnamed(3));
        assert_eq!(by_class.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["class 1", "class 2"]);
        let dice: Vec<f64> = by_class.iter().filter_map(|(_, figures)| *figures.get("dice")?).collect();
        assert!((three.values()[0].expect("a mean") - (dice[0] + dice[1]) / 2.0).abs() < 1e-15);
        assert_eq!((three.values()[5], three.values()[18], three.best_threshold()), (None, None, None));
        assert!(measured(1, &[0]).by_class(&Classes::unnamed(3)).is_empty());
    }

    #[test]
    fn an_image_without_vessels_lifts_the_mean_and_is_counted_apart() {
        let mut measured = measured(1, &[1]);
        let alone = measured.values()[0].expect("a Dice");
        let (truth, rules) = (learnt(&[0; 6], [2, 3]), Rules { threshold: 0.5, curve: true });
        let job =
            Job { sample: "empty".into(), output: NetworkOutput::Logits(vec![-9.0; 6]), classes: 1, width: 3, truth, rules };
        measured.images.push(job.score(&mut |_, _, _| {}));
        let values = measured.values();
        assert_eq!((measured.both_empty(), values[0], values[12]), (1, Some((alone + 1.0) / 2.0), Some(alone)));
    }
}
