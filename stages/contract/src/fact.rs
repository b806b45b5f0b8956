//! The names of the facts that the program's own stages set and read. A stage of your own may set others.
//! What a fact is, is in `facts`.

/// Height of the images, in pixels: a whole number. Set by what makes all images of one size (`resize`, `synthetic_fundus`); read by
/// the trainer, the evaluator and the plan.
pub const HEIGHT: &str = "height";

/// Width of the images, in pixels: a whole number. Set and read as [`HEIGHT`].
pub const WIDTH: &str = "width";

/// The `[height, width]` of the photograph with the most pixels, where sizes differ. Set by sources that have looked; read by the plan.
pub const LARGEST: &str = "largest";

/// Samples in a micro-batch: a whole number. Set by `batch`; read by the trainer, the accumulator, the schedule and the plan.
pub const BATCH: &str = "batch";

/// True where an epoch leaves out its last micro-batch if that is smaller. Set by `batch`; read by the plan, which then keeps the
/// micro-batch unchanged.
pub const DROP_LAST: &str = "drop_last";

/// Samples in an epoch: a whole number. Set by sources that know it before they run, multiplied by what cuts samples into pieces; read by the schedule and the plan.
pub const SAMPLES: &str = "samples";

/// Which part of a data set the samples are, by the file's own declaration: `train`, `validation` or `test`. Set by sources; read by
/// whoever must not mix them.
pub const PART: &str = "part";

/// Set, as 1, where an epoch may hold a sample more than once, or leave one out. Set by `mix` with `order: by_weight`; read by the evaluator, whose
/// figures would count such a sample as often.
pub const REPEATED: &str = "repeated";

/// How the pixels are normalised: a map of `mean` and `std`, three numbers each. Set and read by `normalize`, which may come only once; read by
/// the trainer and the evaluator for the model's file.
pub const NORMALIZED: &str = "normalized";

/// How photographs are brought to one size: a map of `size` (`[height, width]`), `fit` and `filter`. Set by `resize`; read by the trainer and the
/// evaluator for the model's file.
pub const RESIZED: &str = "resized";

/// The `[height, width]` of the pieces that photographs were cut into. Set by `crop`; read by the trainer for the model's file.
pub const CROPPED: &str = "cropped";

/// Set where items end in an evaluator: after every how many epochs it measures, a whole number. Set by the validation of a file on what
/// its sources emit; read by stages that keep for an evaluator what the trainer doesn't need, and by the engine, which lets
/// sources that feed nothing else rest in between ([`is_due`](crate::is_due)).
pub const EVALUATED: &str = "evaluated";

/// Set where items end in a stage that predicts without a mask to compare with, true where it needs the photographs themselves: `decode` then
/// has the photograph itself kept, for pictures at its own size. Set by the validation of a file, as [`EVALUATED`].
pub const PREDICTED: &str = "predicted";

/// Set, as 1, where an evaluator that takes the items scores the field of view alone. Set with [`EVALUATED`], and only there; read by `decode`, which
/// then reads or finds the field of view.
pub const FIELD_OF_VIEW: &str = "field_of_view";

/// Set where pairs keep their original masks, for figures at the photograph's own size: the bytes of one with its field of view, a whole number, or null where
/// photographs differ. Set by `decode`; forgotten by what moves the pixels (`augment`); read by the evaluator and the plan.
pub const ORIGINAL: &str = "original";

/// Set, as 1, where a stage has moved the pixels of pairs that kept their originals until then ([`ORIGINAL`]): by the option that moves them. Set by
/// `augment` and `crop`; read by the evaluator, which names the stage.
pub const MOVED: &str = "moved";

/// The number of pixels that one pixel of the network's deepest level stands for, along each side: a whole number that divides the
/// sides of all images. Set by the trainer; read by the evaluator.
pub const STRIDE: &str = "stride";

/// How many classes the masks have, the background counted: a whole number. Set, with the two below, by what reads masks as class
/// numbers (`decode` with `labels`); read by the trainer and the evaluator. Without it masks are binary.
pub const CLASSES: &str = "classes";

/// The names of the classes: a list of texts in the order of their numbers, the background first.
pub const CLASS_NAMES: &str = "class_names";

/// The number of pixels that losses and figures leave out. Set only where masks may hold such pixels.
pub const IGNORE_INDEX: &str = "ignore_index";

/// How many classes the network tells apart: 1 for a sigmoid, more for a softmax. Set by the trainer; read by the evaluator.
pub const MODEL_CLASSES: &str = "model_classes";

/// Set, as 1, where the network normalises over a micro-batch. Set by the trainer; read by the accumulator, which warns.
pub const BATCH_NORM: &str = "batch_norm";

/// Micro-batches in a window: a whole number. Set by the accumulator; read by the schedule and the plan.
pub const ACCUMULATION: &str = "accumulation";

/// Set, as 1, where the learning rate depends on the length of the whole run. Set by the optimizer; read when a run resumes with
/// another number of epochs.
pub const WHOLE_RUN: &str = "whole_run";
