//! The list and the description of kinds, on declarations that use every type of option.

use pipeline_contract::{
    ItemContext, Map, Metric, OptionSpec, OptionType, Payload, Registry, Result, Role, StageKind, Variant,
};

use super::{describe, instead, json, list};

#[derive(Clone)]
struct Number;
impl Payload for Number {
    const NAME: &'static str = "number";
    fn bytes(&self) -> u64 {
        0
    }
}

struct Same;
impl Map for Same {
    type In = Number;
    type Out = Number;
    fn map(&self, input: Number, _: &ItemContext<'_>) -> Result<Number> {
        Ok(input)
    }
}

fn kind() -> StageKind {
    let rate = OptionSpec::new("rate", OptionType::Number { min: 0.0, max: f64::INFINITY }, 0.5, "how fast");
    let rule = OptionType::Variant(vec![Variant::new("plain", "without memory").option(rate), Variant::new("none", "nothing")]);
    StageKind::map("double", "doubles a number", |_: (), _| Ok(Same))
        .option(OptionSpec::required("times", OptionType::Integer { min: 1, max: 8 }, "how often"))
        .option(OptionSpec::from_key("device", OptionType::Text, "trainer.device", "auto", "where"))
        .option(OptionSpec::new("rule", rule, "plain", "by which rule"))
        .option(OptionSpec::optional("sizes", OptionType::list(OptionType::Bytes), "how much"))
        .example("- {id: two, use: double, with: {times: 2}}")
}

#[test]
fn a_kind_is_described_with_nested_options() {
    assert_eq!(
        describe::kind(&kind(), false),
        "\
double: doubles a number

ports    number -> number
runs     workers: on the CPU workers, many items at a time

options (under `with:`)
  times  a whole number from 1 to 8; required
      how often
  device  text; default ${trainer.device}, else auto
      where
  rule  one of plain, none; default plain
      by which rule
      plain: without memory
        rate  a number of at least 0; default 0.5
            how fast
      none: nothing
  sizes  a list of values, each an amount of memory such as 512MiB or 16GiB; may be left out
      how much

example
  - {id: two, use: double, with: {times: 2}}
"
    );
}

#[test]
fn kinds_are_listed_under_where_they_run() {
    let text = list(&Registry::new().with(kind()), false);
    assert!(
        text.starts_with("workers: on the CPU workers, many items at a time\n  double  number -> number  doubles a number\n"),
        "{text}"
    );
    assert!(list(&Registry::new().with(kind()), true).contains("\x1b[1mdouble\x1b[0m"));
}

#[test]
fn a_slip_finds_its_kind_and_another_word_all() {
    let registry = Registry::new().with(kind());
    assert_eq!(instead("Duble", &registry), "did you mean `double`?");
    assert_eq!(instead("evaluate", &registry), "there are double");
}

#[test]
fn json_holds_defaults_and_nested_options() {
    let value = json::kind(&kind());
    assert_eq!(value["inputs"][0], "number");
    assert_eq!(value["options"][0]["required"], true);
    assert_eq!(value["options"][1]["default_key"], "trainer.device");
    assert_eq!(value["options"][2]["type"]["variants"][0]["options"][0]["default"], 0.5);
    assert!(value["options"][2]["type"]["variants"][0]["options"][0]["type"]["max"].is_null());
}

#[test]
fn an_evaluator_says_what_it_is_and_what_it_measures() {
    let kind = kind().role(Role::Evaluator).metrics([Metric::max("dice").shown_as("Dice"), Metric::min("hd95")]);
    let text = describe::kind(&kind, false);
    assert!(text.contains("\nrole     evaluator\ngives    dice (max), hd95 (min)\n"), "{text}");
    let value = json::kind(&kind);
    assert_eq!((&value["role"], &value["metrics"][1]["direction"]), (&"evaluator".into(), &"min".into()));
    assert!(value["metrics"][1]["label"].is_null());
}
