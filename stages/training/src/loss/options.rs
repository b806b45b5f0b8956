//! The option `loss` of a file: a name, or terms with weights and their own options.

use pipeline_contract::{OptionSpec, OptionType, Result, StageError};
use pipeline_kernels::{Term, WeightedTerm};
use serde::Deserialize;
use serde_json::Value;

use super::Loss;

/// The losses that have a name: every single term, and the usual sums.
const NAMES: &[&str] = &["bce_dice", "bce", "dice", "focal", "tversky", "focal_tversky", "cldice", "ce_dice", "cross_entropy"];

/// The type of the option.
pub(crate) fn kind() -> OptionType {
    let number = |min: f64| OptionType::Number { min, max: f64::INFINITY };
    let term = |name: &'static str, options: Vec<OptionSpec>, doc: &'static str| {
        let weight = OptionSpec::new("weight", number(0.0), 1.0, "what the term is multiplied by");
        let full = OptionType::Group(std::iter::once(weight).chain(options).collect());
        OptionSpec::optional(name, OptionType::AnyOf(vec![number(0.0), full]), doc)
    };
    let weight_of = |name, default: f64, doc| OptionSpec::new(name, number(0.0), default, doc);
    let errors =
        || vec![weight_of("alpha", 0.3, "weight of false positives"), weight_of("beta", 0.7, "weight of false negatives")];
    let focal = vec![
        weight_of("gamma", 2.0, "how strongly pixels that are already right are discounted"),
        OptionSpec::optional("alpha", OptionType::share(), "weight of vessel; background has 1 - alpha"),
    ];
    let mut focal_tversky = errors();
    focal_tversky.push(OptionSpec::new("gamma", number(1e-3), 4.0 / 3.0, "the inverse of the exponent"));
    let iterations = OptionSpec::new(
        "iterations",
        OptionType::Integer { min: 1, max: 50 },
        3,
        "erosions of the soft skeleton: half the width of the thickest vessel, in pixels",
    );
    let background = OptionSpec::new("background", OptionType::Bool, true, "with several classes: class 0 counts as well");
    let pos_weight = weight_of("pos_weight", 1.0, "weight of vessel pixels (torch.nn.BCEWithLogitsLoss)");
    let terms = vec![
        term("bce", vec![pos_weight], "binary cross-entropy with logits"),
        term("dice", vec![background], "soft Dice of a sample; with several classes the mean over them"),
        term("focal", focal, "focal loss (Lin et al., 2017)"),
        term("tversky", errors(), "Tversky loss (Salehi et al., 2017)"),
        term("focal_tversky", focal_tversky, "focal Tversky loss (Abraham and Khan, 2019)"),
        term("cldice", vec![iterations], "centreline Dice (Shit et al., 2021), beside dice"),
        term("cross_entropy", Vec::new(), "cross-entropy over several classes"),
    ];
    OptionType::AnyOf(vec![OptionType::Choice(NAMES), OptionType::Group(terms)])
}

/// A term's value in a file: its weight, or its weight and options.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Given {
    weight: Option<f32>,
    pos_weight: Option<f32>,
    gamma: Option<f32>,
    alpha: Option<f32>,
    beta: Option<f32>,
    iterations: Option<usize>,
    background: Option<bool>,
}

/// The loss for a checked option, for a model with this many classes.
///
/// # Errors
/// When it has no terms, or a term for a different number of classes.
pub(crate) fn parse(value: &Value, classes: usize) -> Result<Loss> {
    let loss = match value {
        Value::String(name) => named(name, classes)?,
        Value::Object(terms) => {
            let weighted = terms.iter().map(|(name, given)| {
                let given = match given.as_f64() {
                    Some(weight) => Given { weight: Some(weight as f32), ..Given::default() },
                    None => serde_json::from_value(given.clone()).map_err(|error| StageError::new(error.to_string()))?,
                };
                Ok(WeightedTerm { weight: given.weight.unwrap_or(1.0), term: term(name, &given, classes)? })
            });
            Loss { terms: weighted.collect::<Result<_>>()? }
        }
        _ => return Err(StageError::new("a loss is a name, or terms with weights")),
    };
    if loss.terms.iter().all(|weighted| weighted.weight == 0.0) {
        return Err(StageError::new("this loss has no term, or only terms of weight 0").help("loss: bce_dice"));
    }
    loss.suits(classes)?;
    Ok(loss)
}

fn named(name: &str, classes: usize) -> Result<Loss> {
    let plain = |name: &str| term(name, &Given::default(), classes);
    match name {
        "bce_dice" => Ok(Loss::default()),
        "ce_dice" => Ok(Loss::of([Term::CrossEntropy, Term::ClassDice { background: true }])),
        name => Ok(Loss::of([plain(name)?])),
    }
}

fn term(name: &str, given: &Given, classes: usize) -> Result<Term> {
    let (alpha, beta) = (given.alpha.unwrap_or(0.3), given.beta.unwrap_or(0.7));
    Ok(match name {
        "bce" => Term::Bce { pos_weight: given.pos_weight.unwrap_or(1.0) },
        "dice" if classes > 1 => Term::ClassDice { background: given.background.unwrap_or(true) },
        "dice" => Term::Dice,
        "focal" => Term::Focal { gamma: given.gamma.unwrap_or(2.0), alpha: given.alpha },
        "tversky" => Term::Tversky { alpha, beta },
        "focal_tversky" => Term::FocalTversky { alpha, beta, gamma: given.gamma.unwrap_or(4.0 / 3.0) },
        "cldice" => Term::ClDice { iterations: given.iterations.unwrap_or(3) },
        "cross_entropy" => Term::CrossEntropy,
        _ => {
            return Err(
                StageError::new(format!("there is no loss named {name:?}")).help(format!("one of {}", NAMES.join(", ")))
            );
        }
    })
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "tests may panic")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_or_terms_with_weights_and_options() {
        assert_eq!(parse(&json!("bce_dice"), 1).expect("a name"), Loss::default());
        assert_eq!(parse(&json!({"bce": 1, "dice": 1}), 1).expect("the same"), Loss::default());
        let loss = parse(&json!({"bce": {"weight": 0.5, "pos_weight": 3}, "cldice": {"iterations": 5}}), 1).expect("options");
        let of = |term, weight| WeightedTerm { term, weight };
        assert_eq!(loss.terms, [of(Term::Bce { pos_weight: 3.0 }, 0.5), of(Term::ClDice { iterations: 5 }, 1.0)]);
        let classes = parse(&json!({"cross_entropy": 1, "dice": {"weight": 2, "background": false}}), 3).expect("classes");
        assert_eq!(classes.terms, [of(Term::CrossEntropy, 1.0), of(Term::ClassDice { background: false }, 2.0)]);
    }

    #[test]
    fn what_is_no_loss_says_what_would_be() {
        for (value, classes, part) in [
            (json!("bce_dice"), 3, "ce_dice"),
            (json!("ce_dice"), 1, "bce_dice"),
            (json!({}), 1, "bce_dice"),
            (json!({"bce": 0}), 1, "bce_dice"),
            (json!("hinge"), 1, "focal"),
        ] {
            let error = parse(&value, classes).expect_err("no loss");
            assert!(error.mend().is_some_and(|help| help.contains(part)), "{value} {classes}: {error}");
        }
    }
}
