//! The message for a value that doesn't fit its option: what was expected, what was found, and the likely typo.

use pipeline_contract::{OptionSpec, OptionType};

use super::amounts;
use super::characters;
use super::node::{Data, Node, quote};
use super::suggest;
use crate::diagnostic::Diagnostic;

/// The problem of a value that is not of type `ty`; `name` is the option's, in words.
pub(super) fn explain(ty: &OptionType, node: &Node, name: &str) -> Diagnostic {
    let problem = node.error(format!("{name} must be {}, found {}", ty.describe(), node.describe()));
    match help(ty, node) {
        Some(help) => problem.help(help),
        None => problem,
    }
}

fn help(ty: &OptionType, node: &Node) -> Option<String> {
    match (ty, &node.data) {
        (_, Data::Null) => Some("give it a value, or remove the key to use the default".into()),
        (OptionType::Integer { .. }, Data::Float(value)) if value.fract() == 0.0 && value.abs() < 1e15 => {
            Some(format!("write `{value:.0}`"))
        }
        (OptionType::Integer { max, .. }, Data::Int(value)) if *value > i128::from(*max) && *max == i64::MAX => {
            Some(format!("the largest number is {max}"))
        }
        (OptionType::Integer { min, .. }, Data::Int(value)) if *value < i128::from(*min) && *min == i64::MIN => {
            Some(format!("the smallest number is {min}"))
        }
        (OptionType::Integer { max, .. }, Data::Float(value)) if *value > *max as f64 => {
            Some(format!("the largest number is {max}"))
        }
        (OptionType::Bytes, Data::Int(value)) if *value > i128::from(i64::MAX) => {
            Some(format!("the largest number is {}", i64::MAX))
        }
        (OptionType::Integer { .. }, Data::Text(text)) if thousands(text).is_some() => {
            thousands(text).map(|number| format!("write it without commas: `{number}`"))
        }
        (OptionType::List { of, min, max }, Data::List(values)) if !(*min..=*max).contains(&values.len()) => {
            decimal_commas(of, values).filter(|numbers| (*min..=*max).contains(&numbers.len())).map(|numbers| {
                format!("a comma divides values, and the decimal mark is a point: write `[{}]`", numbers.join(", "))
            })
        }
        (OptionType::Integer { .. } | OptionType::Number { .. }, Data::Text(text)) if decimal_comma(text).is_some() => {
            decimal_comma(text).map(|number| format!("the decimal mark is a point: write `{number}`"))
        }
        (OptionType::Integer { .. } | OptionType::Number { .. }, Data::Text(text)) if characters::first(text).is_some() => {
            characters::note(text)
        }
        (OptionType::Integer { .. } | OptionType::Number { .. }, Data::Text(text)) => {
            let plain = text.replace('_', "");
            let without = match plain.strip_prefix('0') {
                _ if text.contains('_') => "the `_`",
                Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => "leading zeros",
                _ => "quotes",
            };
            plain.parse::<f64>().is_ok().then(|| format!("write it without {without}"))
        }
        (OptionType::Text | OptionType::Path, Data::Bool(_) | Data::Int(_) | Data::Float(_)) => {
            Some(format!("YAML doesn't read this as text: write it in quotes, \"{}\"", node.describe()))
        }
        (OptionType::Choice(words), Data::Bool(_) | Data::Int(_) | Data::Float(_)) => {
            let same =
                words.iter().find(|word| **word == node.describe()).map(|word| format!("write it in quotes: \"{word}\""));
            let no = words.iter().find(|word| matches!(node.data, Data::Bool(false)) && ["no", "none", "off"].contains(word));
            same.or_else(|| no.map(|word| format!("did you mean {}?", quote(word))))
        }
        (OptionType::Choice(words), Data::Text(text)) => {
            suggest::nearest(text, words.iter().copied()).map(|word| suggest::did_you_mean(text, word))
        }
        (OptionType::Bool, Data::Text(text)) => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => Some("YAML's word for it is `true`".into()),
            "no" | "off" | "n" | "false" => Some("YAML's word for it is `false`".into()),
            _ => None,
        },
        (OptionType::Bytes, Data::Text(text)) => amounts::parse(text).err().flatten(),
        (OptionType::List { .. }, Data::Bool(_) | Data::Int(_) | Data::Float(_) | Data::Text(_)) => {
            Some("write a list in brackets: [a, b]".into())
        }
        (OptionType::Group(specs), _) => Some(options_in_words(specs)),
        (OptionType::AnyOf(types), _) => {
            types.iter().filter(|alternative| same_shape(alternative, node)).find_map(|alternative| help(alternative, node))
        }
        _ => None,
    }
}

/// `0.001` of `0,001`; nothing where it isn't that.
pub(super) fn decimal_comma(text: &str) -> Option<String> {
    let (whole, rest) = text.split_once(',')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let fraction = rest.split(['e', 'E']).next()?;
    let number = format!("{whole}.{rest}");
    (digits(whole.trim_start_matches(['-', '+'])) && digits(fraction) && number.parse::<f64>().is_ok()).then_some(number)
}

/// `1000` of `1,000`; nothing where it isn't that.
fn thousands(text: &str) -> Option<String> {
    let mut groups = text.split(',');
    let first = groups.next().filter(|first| (1..=3).contains(&first.len()))?;
    let rest: Vec<&str> = groups.collect();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!rest.is_empty() && digits(first) && rest.iter().all(|group| group.len() == 3 && digits(group)))
        .then(|| format!("{first}{}", rest.concat()))
}

/// `0.5` and `0.5` of `[0,5, 0,5]`, which are four values to YAML; nothing where they aren't whole numbers in pairs.
fn decimal_commas(of: &OptionType, values: &[Node]) -> Option<Vec<String>> {
    let whole = |node: &Node| match node.data {
        Data::Int(number) if number >= 0 => Some(number.to_string()),
        _ => None,
    };
    let written: Option<Vec<String>> = values.iter().map(whole).collect();
    let pairs = written.filter(|all| matches!(of, OptionType::Number { .. }) && all.len().is_multiple_of(2))?;
    Some(pairs.chunks_exact(2).map(|pair| pair.join(".")).collect())
}

/// `its options are: base, depth`
pub(super) fn options_in_words(specs: &[OptionSpec]) -> String {
    match specs {
        [] => "it has no options".into(),
        specs => format!("its options are: {}", specs.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", ")),
    }
}

/// True when a value of the type could look like this one.
pub(super) fn same_shape(ty: &OptionType, node: &Node) -> bool {
    match node.data {
        Data::Bool(_) => matches!(ty, OptionType::Bool),
        Data::Int(_) | Data::Float(_) => {
            matches!(ty, OptionType::Integer { .. } | OptionType::Number { .. } | OptionType::Bytes)
        }
        Data::Text(_) => {
            matches!(
                ty,
                OptionType::Text | OptionType::Path | OptionType::Choice(_) | OptionType::Bytes | OptionType::Variant(_)
            )
        }
        Data::List(_) => matches!(ty, OptionType::List { .. }),
        Data::Map(_) => matches!(ty, OptionType::Group(_) | OptionType::Variant(_) | OptionType::Map { .. }),
        Data::Null | Data::Broken => false,
    }
}
