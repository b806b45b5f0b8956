//! The terms of a loss and their formulas.

/// A term of a loss. Its formula is for one sample; sums and means run over the sample's pixels.
///
/// The first six are binary: `z` are the logits of one channel, `p = sigmoid(z)`, and `y` is the mask's share of the pixel, 0 to 1. The
/// last two are multi-class: `p = softmax(z)` over the channels, and pixels with an ignored label are left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Term {
    /// Binary cross-entropy with logits, `mean(-(w y ln p + (1 - y) ln(1 - p)))` with `w = pos_weight`
    /// (`torch.nn.BCEWithLogitsLoss`).
    Bce {
        /// Weight of the mask's pixels; 1 gives plain cross-entropy.
        pos_weight: f32,
    },
    /// Soft Dice, `1 - (2 sum(min(p, y)) + eps) / (sum(p) + sum(y) + eps)` with `eps = 1e-5`. On masks of 0 and 1 `min(p, y)` is `p y`
    /// (Milletari et al. 2016, V-Net, without squares; MONAI `DiceLoss(sigmoid=True)`). Elsewhere products would be best at
    /// probabilities of 0 or 1, above the mask; this is best at `p = y` (Wang et al. 2023, Dice semimetric losses).
    Dice,
    /// Focal loss, `mean(-a (1 - q)^gamma ln q)` with `q` the probability of the true class (Lin et al. 2017, equations 4
    /// and 5; MONAI `FocalLoss`, `torchvision.ops.sigmoid_focal_loss`). Lin et al. divide by the number of objects, the
    /// implementations by the number of pixels. A pixel that is partly mask has the mean over its parts
    /// (`torchvision.ops` mixes the probabilities instead).
    Focal {
        /// How strongly pixels that are already right are discounted; 0 gives cross-entropy, the paper uses 2.
        gamma: f32,
        /// If set, `a` is `alpha` on the mask and `1 - alpha` elsewhere; otherwise it is 1.
        alpha: Option<f32>,
    },
    /// Tversky loss, `1 - (TP + eps) / (TP + alpha FP + beta FN + eps)` with `TP = sum(min(p, y))`,
    /// `FP = sum(max(p - y, 0))`, `FN = sum(max(y - p, 0))`, `eps = 1e-5` (Salehi et al. 2017; MONAI `TverskyLoss(sigmoid=True)`). With 0.5 and 0.5 it
    /// equals Dice except for `eps`.
    Tversky {
        /// Weight of false positives.
        alpha: f32,
        /// Weight of false negatives.
        beta: f32,
    },
    /// Focal Tversky loss, the Tversky loss to the power of `1 / gamma` (Abraham and Khan 2019, who use 4/3).
    ///
    /// `alpha` and `beta` are as in [`Term::Tversky`]; the paper swaps them. Code that calls the exponent itself gamma means
    /// `1 / gamma`.
    FocalTversky {
        /// Weight of false positives.
        alpha: f32,
        /// Weight of false negatives.
        beta: f32,
        /// The inverse of the exponent, above 0.
        gamma: f32,
    },
    /// Centreline Dice, `1 - 2 P S / (P + S)` with `P = (sum(skel(p) y) + 1) / (sum(skel(p)) + 1)` and
    /// `S = (sum(skel(y) p) + 1) / (sum(skel(y)) + 1)` (Shit et al. 2021, algorithms 1 and 2; MONAI `SoftclDiceLoss`). The
    /// paper's combined loss is a list of [`Term::Dice`] with weight `1 - alpha` and this term with weight `alpha`.
    ///
    /// `skel` is the soft skeleton: with `open(x)` the maximum over 3x3 pixels of `erode(x)`, and `erode(x)` the minimum
    /// over the pixel and its four neighbours, `s = relu(x - open(x))`, and then `iterations` times `x = erode(x)`,
    /// `d = relu(x - open(x))`, `s = s + d (1 - s)`. Pixels outside the image don't count.
    ClDice {
        /// Erosions: at least half the width of the thickest vessel in pixels.
        iterations: usize,
    },
    /// Cross-entropy, the mean of `-ln p[label]` over the labelled pixels, 0 where there are none
    /// (`torch.nn.CrossEntropyLoss(ignore_index=...)`, whose mean is over the batch's pixels).
    CrossEntropy,
    /// Multi-class soft Dice: the mean over classes of `1 - (2 sum(p t) + eps) / (sum(p) + sum(t) + eps)`, with `t` 1 where
    /// the label is the class and `eps = 1e-5` (MONAI `DiceLoss(softmax=True, to_onehot_y=True)`; with
    /// [`Term::CrossEntropy`] nnU-Net's `DC_and_CE_loss`).
    ClassDice {
        /// Whether class 0 counts, as it does by default in MONAI. nnU-Net leaves it out.
        background: bool,
    },
}

impl Term {
    /// Whether the term needs two or more classes; the others need exactly one.
    pub fn is_multiclass(self) -> bool {
        matches!(self, Self::CrossEntropy | Self::ClassDice { .. })
    }
}

/// A term of a loss with its weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightedTerm {
    /// The term.
    pub term: Term,
    /// What the term is multiplied by.
    pub weight: f32,
}
