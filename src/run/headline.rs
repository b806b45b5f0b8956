//! The figures of an evaluation as people read them: of the metrics, those that their kind has given a label.

use pipeline_contract::Metric;
use pipeline_contract::events::{EvalEvent, Named};

/// `dice 0.8886`, `AUC 0.9914`: the labelled metrics that are a number, in their order.
pub(crate) fn headline(metrics: &[Metric], eval: &EvalEvent) -> Vec<String> {
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

    #[test]
    fn each_class_is_told_by_name_in_their_order() {
        let figures = |dice, iou| [("dice", Some(dice)), ("iou", iou)].into_iter().collect::<Named<_>>();
        let classes = [("vein", figures(0.5, Some(0.25))), ("artery", figures(0.75, None))].into_iter().collect();
        let eval = EvalEvent { classes, ..EvalEvent::default() };
        assert_eq!(by_class(&eval), ["vein: dice 0.5000, iou 0.2500", "artery: dice 0.7500"]);
    }
}
