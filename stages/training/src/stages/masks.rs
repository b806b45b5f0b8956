//! Checks, by the classes declared in facts, that masks suit a network and that test masks match the training masks. The
//! labels themselves are checked when they are used.

use pipeline_contract::{Facts, Finding, Place, fact};
use pipeline_images::Classes;

/// A mismatch between masks and a network's number of classes, and how to fix it.
pub(super) struct Misfit {
    /// The message, a lowercase fragment.
    pub message: String,
    /// How to fix it.
    pub help: String,
}

/// The maximum number of class names in a message.
const LISTED: usize = 8;

/// Masks without declared classes are binary: they suit a sigmoid, and a softmax over background and vessel. Masks with one
/// class beside the background count as binary too, unless they have ignored pixels, which the one-class losses can't leave
/// out.
pub(super) fn misfit(model: usize, masks: Option<&Classes>) -> Option<Misfit> {
    let Some(classes) = masks else {
        return (model > 2).then(|| Misfit {
            message: format!("the masks are binary, and the model has {model} classes"),
            help: "classes: 1; or name the classes of the masks in decode: labels: {artery: [255, 0, 0], vein: [0, 0, 255]}"
                .into(),
        });
    };
    let count = classes.names.len();
    if model == count || (model == 1 && count == 2 && !classes.ignored) {
        return None;
    }
    let has = if model == 1 { "one".into() } else { model.to_string() };
    let message = match model == 1 && count == 2 {
        true => "the masks have ignored pixels, which a model with one class doesn't support".into(),
        false => format!("the masks have {count} classes ({}), and the model has {has}", listed(classes)),
    };
    let loss = if model == 1 { ", with a loss for several such as ce_dice" } else { "" };
    Some(Misfit { message, help: format!("classes: {count}{loss}") })
}

/// Finds test masks (`images`, an evaluator's second input) that don't suit a network of `model` classes, or whose classes
/// differ from those of the training masks (`steps`, its first input) or come in another order.
pub(super) fn unlike_training(model: usize, steps: &Facts, images: &Facts) -> Option<Finding> {
    let (learnt, tested) = (Classes::of(steps), Classes::of(images));
    let named_alike = match (&learnt, &tested) {
        (Some(learnt), Some(tested)) => learnt.names == tested.names,
        _ => true,
    };
    if named_alike && misfit(model, tested.as_ref()).is_none() {
        return None;
    }
    let place = match &tested {
        Some(_) => Place::Fact { input: 1, name: fact::CLASSES.into() },
        None => Place::Stage,
    };
    let (learnt, tested) = (about(learnt.as_ref()), about(tested.as_ref()));
    let message = format!("the test masks {tested}, and the training masks {learnt}");
    Some(Finding::error(place, message).help("give both `decode` stages the same `labels`, in the same order"))
}

/// Describes masks in words that continue "the masks".
fn about(masks: Option<&Classes>) -> String {
    masks.map_or_else(|| "are binary".into(), |classes| format!("have the classes {}", listed(classes)))
}

fn listed(classes: &Classes) -> String {
    let names = &classes.names;
    match names.len() > LISTED {
        true => format!("{}, ...", names[..LISTED].join(", ")),
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(names: &[&str], ignored: bool) -> Classes {
        Classes { names: names.iter().map(|&name| name.into()).collect(), ignored }
    }

    #[test]
    fn what_fits_is_left_alone() {
        let (vessel, both) = (classes(&["background", "vessel"], false), classes(&["background", "artery", "vein"], true));
        for (model, masks) in [(1, None), (2, None), (1, Some(&vessel)), (2, Some(&vessel)), (3, Some(&both))] {
            assert!(misfit(model, masks).is_none(), "{model} {masks:?}");
        }
    }

    #[test]
    fn what_does_not_is_told_with_what_would() {
        let (holes, both) = (classes(&["background", "vessel"], true), classes(&["background", "artery", "vein"], false));
        for (model, masks, message, help) in [
            (3, None, "the masks are binary, and the model has 3 classes", "labels: {artery"),
            (
                1,
                Some(&both),
                "the masks have 3 classes (background, artery, vein), and the model has one",
                "classes: 3, with a loss",
            ),
            (4, Some(&both), "the masks have 3 classes (background, artery, vein), and the model has 4", "classes: 3"),
            (
                1,
                Some(&holes),
                "the masks have ignored pixels, which a model with one class doesn't support",
                "classes: 2, with",
            ),
        ] {
            let found = misfit(model, masks).map(|misfit| (misfit.message, misfit.help));
            assert!(found.as_ref().is_some_and(|(said, mend)| said == message && mend.contains(help)), "{found:?}");
        }
        let many: Vec<String> = (0..20).map(|number| format!("c{number}")).collect();
        let many = Classes { names: many, ignored: false };
        assert_eq!(about(Some(&many)), "have the classes c0, c1, c2, c3, c4, c5, c6, c7, ...");
    }
}
