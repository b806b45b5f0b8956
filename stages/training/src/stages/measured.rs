//! The figures of an evaluation: for vessel against background, or for each class. They also return the predictions for
//! pictures, and are saved in checkpoints.

use pipeline_contract::events::Named;
use pipeline_contract::{Buffer, Metric, Result, Saved, StageError};
use pipeline_images::{Classes, VESSEL};
use pipeline_metrics::{Confusion, MeanDice, OneClass, PerClass, RocAuc, argmax};

/// The names of the metrics, in the order of [`Measured::values`].
pub(super) const METRICS: [Metric; 7] = [
    Metric::max("dice").shown_as("dice"),
    Metric::max("dice_pooled"),
    Metric::max("iou"),
    Metric::max("sensitivity"),
    Metric::max("specificity"),
    Metric::max("accuracy"),
    Metric::max("auc").shown_as("AUC"),
];

/// The prediction for an image.
pub(super) enum Predicted {
    /// The probability of vessel, `[height, width]`.
    Vessel(Vec<f32>),
    /// Class numbers, `[height, width]`.
    Classes(Vec<u8>),
}

/// Vessel against background.
#[derive(Debug, Clone, Default)]
pub(super) struct Binary {
    pooled: Confusion,
    dice: MeanDice,
    roc: RocAuc,
}

/// The figures so far.
#[derive(Debug, Clone)]
pub(super) enum Measured {
    /// For a model with one class.
    Binary(Box<Binary>),
    /// For a model with several classes.
    Classes(PerClass),
}

impl Measured {
    /// Figures before the first image.
    pub fn new(classes: usize) -> Self {
        if classes > 1 { Self::Classes(PerClass::new(classes)) } else { Self::Binary(Box::default()) }
    }

    /// Adds an image: logits `[classes, height, width]`, and labels `[height, width]`. With one class, a pixel is vessel
    /// when its probability is above `threshold`; with several, it gets the class with the largest logit.
    ///
    /// # Errors
    /// When the earlier figures are for a different number of classes.
    pub fn add(&mut self, logits: &[f32], labels: &[u8], threshold: f32) -> Result<Predicted> {
        match self {
            Self::Binary(binary) if logits.len() == labels.len() => {
                let probabilities: Vec<f32> = logits.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect();
                let truth = || labels.iter().map(|&share| share >= VESSEL);
                let counts = Confusion::of(probabilities.iter().map(|&p| p > threshold).zip(truth()));
                binary.pooled.add(counts);
                binary.dice.add(&counts);
                logits.iter().zip(truth()).for_each(|(&logit, truth)| binary.roc.add(logit, truth));
                Ok(Predicted::Vessel(probabilities))
            }
            Self::Classes(classes) if logits.len() == classes.classes().len() * labels.len() => {
                let predicted = argmax(logits, classes.classes().len());
                classes.add(&predicted, labels);
                Ok(Predicted::Classes(predicted))
            }
            _ => Err(StageError::new("the figures of this evaluation are of another number of classes")),
        }
    }

    /// The number of images.
    pub fn images(&self) -> u64 {
        match self {
            Self::Binary(binary) => binary.dice.images(),
            Self::Classes(classes) => classes.images(),
        }
    }

    /// The values of the [`METRICS`]. With several classes, each is the mean over all classes except the background;
    /// accuracy is over all pixels, and there is no ROC curve.
    pub fn values(&self) -> [Option<f64>; METRICS.len()] {
        match self {
            Self::Binary(binary) => {
                let Binary { pooled, dice, roc } = &**binary;
                [
                    dice.value(),
                    Some(pooled.dice()),
                    pooled.iou(),
                    pooled.sensitivity(),
                    pooled.specificity(),
                    pooled.accuracy(),
                    roc.value(),
                ]
            }
            Self::Classes(classes) => [
                classes.mean(|class| class.dice.value()),
                classes.mean(|class| Some(class.pooled.dice())),
                classes.mean(|class| class.pooled.iou()),
                classes.mean(|class| class.pooled.sensitivity()),
                classes.mean(|class| class.pooled.specificity()),
                classes.accuracy(),
                None,
            ],
        }
    }

    /// The figures of each class except the background, by class name; empty for a model with one class.
    pub fn by_class(&self, names: &Classes) -> Named<Named<Option<f64>>> {
        let Self::Classes(classes) = self else { return Named::default() };
        let figures = |OneClass { pooled, dice }: &OneClass| {
            let values = [dice.value(), pooled.iou(), pooled.sensitivity(), pooled.specificity()];
            ["dice", "iou", "sensitivity", "specificity"].into_iter().zip(values).collect()
        };
        let named = names.names.iter().zip(classes.classes()).skip(1);
        named.map(|(name, class)| (name.as_str(), figures(class))).collect()
    }

    /// Saves the figures.
    pub fn save(&self, saved: &mut Saved) -> Result<()> {
        saved.set("images", self.images())?;
        match self {
            Self::Binary(binary) => {
                let Binary { pooled, dice, roc } = &**binary;
                saved.set("pooled", counts(pooled))?;
                saved.set_float("dice", dice.sum());
                saved.keep("roc", Buffer::Counts(roc.counts()));
            }
            Self::Classes(classes) => {
                let classes = classes.classes();
                saved.keep("classes", Buffer::Counts(classes.iter().flat_map(|class| counts(&class.pooled)).collect()));
                saved.set("class_dice", classes.iter().map(|class| class.dice.sum().to_bits()).collect::<Vec<_>>())?;
            }
        }
        Ok(())
    }

    /// Restores what [`Self::save`] saved.
    pub fn restore(saved: &mut Saved) -> Result<Self> {
        let misfit = || StageError::new("the saved figures of the evaluation don't fit each other");
        let images = saved.count("images")?;
        if saved.values.contains_key("pooled") {
            let pooled = of_counts(saved.counts("pooled")?);
            let dice = MeanDice::resume(saved.get_float("dice")?, images);
            let roc = RocAuc::from_counts(saved.take_counts("roc")?).ok_or_else(misfit)?;
            return Ok(Self::Binary(Box::new(Binary { pooled, dice, roc })));
        }
        let pixels = saved.take_counts("classes")?;
        let sums: Vec<u64> = saved.get("class_dice")?;
        let (pixels, rest) = pixels.as_chunks();
        if !rest.is_empty() || pixels.len() != sums.len() || pixels.as_flattened().iter().any(|&count| count >= MOST_PIXELS) {
            return Err(misfit());
        }
        let classes = pixels
            .iter()
            .zip(sums)
            .map(|(&pixels, sum)| OneClass { pooled: of_counts(pixels), dice: MeanDice::resume(f64::from_bits(sum), images) });
        Ok(Self::Classes(PerClass::resume(classes.collect())))
    }
}

/// More pixels than any run counts; saved counts must stay below it so that further counting can't overflow.
const MOST_PIXELS: u64 = 1 << 53;

fn counts(confusion: &Confusion) -> [u64; 4] {
    let &Confusion { true_positive, false_positive, false_negative, true_negative } = confusion;
    [true_positive, false_positive, false_negative, true_negative]
}

fn of_counts([true_positive, false_positive, false_negative, true_negative]: [u64; 4]) -> Confusion {
    Confusion { true_positive, false_positive, false_negative, true_negative }
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "tests may panic")]
mod tests {
    use super::*;

    /// Figures of two images.
    fn measured(classes: usize) -> Measured {
        let mut measured = Measured::new(classes);
        add(&mut measured, classes, 0);
        add(&mut measured, classes, 1);
        measured
    }

    fn add(measured: &mut Measured, classes: usize, image: usize) {
        let logits: Vec<f32> = (0..6 * classes).map(|at| ((at * 7 + image * 5) % 11) as f32 - 5.0).collect();
        let labels = if image == 0 { [0, 1, 1, 0, 255, 1] } else { [1, 1, 0, 0, 0, 0] };
        let labels = labels.map(|label| if classes == 1 && label == 1 { 255 } else { label });
        measured.add(&logits, &labels, 0.5).expect("of as many classes");
    }

    #[test]
    fn figures_are_kept_to_the_last_bit() {
        for classes in [1, 3] {
            let mut kept = Saved::default();
            measured(classes).save(&mut kept).expect("plain values");
            let mut again = Measured::restore(&mut kept).expect("what was saved");
            let mut straight = measured(classes);
            for measured in [&mut again, &mut straight] {
                add(measured, classes, 0);
            }
            assert_eq!((again.images(), again.values()), (3, straight.values()), "{classes}");
            let names = Classes::unnamed(3);
            assert_eq!(again.by_class(&names), straight.by_class(&names));
        }
    }

    #[test]
    fn figures_of_other_classes_are_refused() {
        let error = |mut measured: Measured, classes: usize| measured.add(&vec![0.0; 6 * classes], &[0; 6], 0.5).err();
        assert!(error(measured(3), 2).is_some() && error(measured(3), 1).is_some() && error(measured(1), 3).is_some());
        let spoilt = |spoil: &dyn Fn(&mut Saved)| {
            let mut kept = Saved::default();
            measured(3).save(&mut kept).expect("plain values");
            spoil(&mut kept);
            Measured::restore(&mut kept).is_err()
        };
        assert!(!spoilt(&|_| {}));
        assert!(spoilt(&|kept| kept.keep("classes", Buffer::Counts(vec![0; 11]))));
        assert!(spoilt(&|kept| kept.keep("classes", Buffer::Counts(vec![0; 8]))));
        assert!(spoilt(&|kept| kept.keep("classes", Buffer::Counts(vec![u64::MAX; 12]))));
        assert!(spoilt(&|kept| drop(kept.values.remove("class_dice"))));
    }

    #[test]
    fn of_several_classes_each_but_the_background_has_figures_and_there_is_no_auc() {
        let measured = measured(3);
        let by_class = measured.by_class(&Classes::unnamed(3));
        assert_eq!(by_class.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["class 1", "class 2"]);
        let dice: Vec<f64> = by_class.iter().filter_map(|(_, figures)| *figures.get("dice")?).collect();
        assert_eq!(measured.values()[0], Some((dice[0] + dice[1]) / 2.0));
        assert_eq!(measured.values()[6], None);
        assert!(self::measured(1).by_class(&Classes::unnamed(3)).is_empty());
    }
}
