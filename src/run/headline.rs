//! The figures of evaluations as people read them: of the metrics, those that their kind has given a label.

use pipeline_contract::Metric;
use pipeline_contract::events::{EvalEvent, Line, Named};

use super::summary::Summary;

/// What an evaluation is called: by the part of the data set that it measures; where that isn't known, by its stage if the file has
/// `several` evaluators, and otherwise `test`.
pub(super) fn title(eval: &EvalEvent, several: bool) -> &str {
    match &eval.part {
        Some(part) => part,
        None if several && !eval.stage.is_empty() => &eval.stage,
        None => "test",
    }
}

/// `validation dice 0.8886, AUC 0.9914`; nothing where no metric is shown.
fn titled(metrics: &[Metric], eval: &EvalEvent, several: bool) -> Option<String> {
    let figures = headline(metrics, eval);
    (!figures.is_empty()).then(|| format!("{} {}", title(eval, several), figures.join(", ")))
}

/// The figures of a run: with one evaluator on the test part (or on an unknown one), those of its last evaluation. Otherwise those of
/// the epoch that is the best by the evaluator that decides, followed by the others' of that same epoch. With them the
/// evaluation whose classes are to be told.
pub(crate) fn outcome<'a>(metrics: &[Metric], summary: &'a Summary) -> (Vec<String>, Option<&'a EvalEvent>) {
    let last = summary.eval.as_ref().and_then(Line::evaluation);
    let several = summary.evals.is_some();
    let is_test = |eval: &EvalEvent| title(eval, false) == "test";
    let Some(best) = summary.best.as_ref().filter(|_| several || !last.is_some_and(is_test)) else {
        let evals = summary.evals.iter().flat_map(Named::iter).filter_map(|(_, line)| line.evaluation());
        let evals = if several { evals.collect() } else { last.into_iter().collect::<Vec<_>>() };
        return (evals.into_iter().filter_map(|eval| titled(metrics, eval, several)).collect(), last);
    };
    let decides = |stage: &str| best.of.as_ref().is_none_or(|of| of == stage);
    let of = |wanted: bool| best.evals.iter().filter(move |(stage, _)| decides(stage) == wanted);
    let evaluations = |wanted: bool| of(wanted).filter_map(|(_, line)| line.evaluation());
    let epoch = best.epoch;
    let deciding = evaluations(true).filter_map(|eval| titled(metrics, eval, several));
    let mut said: Vec<String> = deciding.map(|text| format!("best {text} (epoch {epoch})")).collect();
    let others = evaluations(false).filter_map(|eval| titled(metrics, eval, several));
    said.extend(others.map(|text| format!("{text} in that epoch")));
    (said, evaluations(true).next())
}

/// `dice 0.8886`, `AUC 0.9914`: the labelled metrics that are a number, in their order.
pub(super) fn headline(metrics: &[Metric], eval: &EvalEvent) -> Vec<String> {
    let figure = |metric: &Metric| Some(format!("{} {:.4}", metric.label?, eval.metric(metric.name)?));
    metrics.iter().filter_map(figure).collect()
}

/// `artery: dice 0.7123, iou 0.5531`: the figures of each class that are a number, a class a line.
pub(crate) fn by_class(eval: &EvalEvent) -> Vec<String> {
    let class = |(name, figures): (&str, &Named<Option<f64>>)| {
        let figures = figures.iter().filter_map(|(figure, value)| Some(format!("{figure} {:.4}", (*value)?)));
        format!("{name}: {}", figures.collect::<Vec<_>>().join(", "))
    };
    eval.classes.iter().map(class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::summary::BestFigures;

    #[test]
    fn labelled_metrics_are_told_in_their_order() {
        let metrics = [Metric::max("dice").shown_as("Dice"), Metric::max("iou"), Metric::min("hd95").shown_as("HD95")];
        let eval = |dice| {
            let metrics = [("hd95", Some(3.25)), ("iou", Some(0.5)), ("dice", dice)].into_iter().collect();
            EvalEvent { epoch: 1, metrics, images: 2, ..EvalEvent::default() }
        };
        assert_eq!(headline(&metrics, &eval(Some(0.88858))), ["Dice 0.8886", "HD95 3.2500"]);
        assert_eq!(headline(&metrics, &eval(None)), ["HD95 3.2500"], "what isn't a number isn't shown");
        assert!(headline(&[Metric::max("iou")], &eval(None)).is_empty());
    }

    /// A summary of these evaluators' last lines and, with their figures, of the best epoch's.
    fn summary(parts: &[(&str, Option<&str>, f64)], best: Option<(u64, &str)>) -> Summary {
        let line = |&(stage, part, dice): &(&str, Option<&str>, f64)| {
            let metrics = [("dice", Some(dice))].into_iter().collect();
            let (stage, part) = (stage.to_owned(), part.map(str::to_owned));
            Line { seconds: 1.0, event: EvalEvent { epoch: 9, stage, part, metrics, ..EvalEvent::default() }.into() }
        };
        let lines = || parts.iter().map(|part| (part.0, line(part))).collect::<Named<Line>>();
        let best = best.map(|(epoch, of)| BestFigures {
            epoch,
            metric: "dice".into(),
            of: Some(of.into()),
            value: 0.5,
            evals: lines(),
        });
        Summary { eval: parts.first().map(line), evals: (parts.len() > 1).then(lines), best, ..Summary::testing() }
    }

    #[test]
    fn the_best_epoch_is_told_where_the_test_part_did_not_choose_it() {
        let metrics = [Metric::max("dice").shown_as("dice")];
        let told = |parts: &[(&str, Option<&str>, f64)], best| outcome(&metrics, &summary(parts, best)).0.join("; ");
        assert_eq!(told(&[("evaluate", None, 0.5)], Some((3, "evaluate"))), "test dice 0.5000");
        assert_eq!(told(&[("evaluate", Some("test"), 0.5)], Some((3, "evaluate"))), "test dice 0.5000");
        let held = ("held", Some("validation"), 0.75);
        assert_eq!(told(&[held], Some((3, "held"))), "best validation dice 0.7500 (epoch 3)");
        let both = [("final", Some("test"), 0.5), held];
        assert_eq!(told(&both, Some((3, "held"))), "best validation dice 0.7500 (epoch 3); test dice 0.5000 in that epoch");
        assert_eq!(told(&both, None), "test dice 0.5000; validation dice 0.7500", "no best is kept: the last figures");
        let unknown = [("a", None, 0.5), ("b", None, 0.25)];
        assert_eq!(told(&unknown, Some((2, "b"))), "best b dice 0.2500 (epoch 2); a dice 0.5000 in that epoch");
        assert_eq!(told(&[], None), "");
    }

    #[test]
    fn each_class_is_told_by_name_in_their_order() {
        let figures = |dice, iou| [("dice", Some(dice)), ("iou", iou)].into_iter().collect::<Named<_>>();
        let classes = [("vein", figures(0.5, Some(0.25))), ("artery", figures(0.75, None))].into_iter().collect();
        let eval = EvalEvent { classes, ..EvalEvent::default() };
        assert_eq!(by_class(&eval), ["vein: dice 0.5000, iou 0.2500", "artery: dice 0.7500"]);
    }
}
