//! The options of `image_pairs`, read: patterns that join and choices that hold. Looks at no files.

use std::path::PathBuf;

use serde::Deserialize;

use crate::exclude::Exclude;
use crate::pattern::Pattern;
use crate::select::Choice;
use crate::split::{self, Wanted};
use crate::values::texts;

/// The options as the file gives them.
#[derive(Deserialize)]
pub(crate) struct Options {
    pub(crate) root: PathBuf,
    #[serde(deserialize_with = "texts")]
    pub(crate) image: Vec<String>,
    #[serde(deserialize_with = "texts")]
    pub(crate) mask: Vec<String>,
    #[serde(default, deserialize_with = "texts")]
    pub(crate) field_of_view: Vec<String>,
    #[serde(default, deserialize_with = "texts")]
    pub(crate) only: Vec<String>,
    #[serde(default, deserialize_with = "texts")]
    pub(crate) except: Vec<String>,
    #[serde(default)]
    pub(crate) split: Option<split::Options>,
    #[serde(default)]
    pub(crate) part: Option<Wanted>,
    pub(crate) shuffle: bool,
    pub(crate) limit: Option<usize>,
    pub(crate) exclude: Exclude,
}

/// The options, read.
pub(crate) struct Rules {
    pub(crate) images: Vec<Pattern>,
    pub(crate) masks: Vec<Pattern>,
    /// Of files that say where a photograph shows the eye; empty where there are none.
    pub(crate) fields: Vec<Pattern>,
    pub(crate) only: Vec<Choice>,
    pub(crate) except: Vec<Choice>,
}

impl Rules {
    /// Reads the options, or names the one that is wrong and says how.
    pub(crate) fn read(options: &Options) -> Result<Self, (&'static str, String)> {
        let images = patterns(&options.image).map_err(|wrong| ("image", wrong))?;
        let masks = patterns(&options.mask).map_err(|wrong| ("mask", wrong))?;
        let known = &images[0].names;
        let choices = |texts: &[String]| {
            texts
                .iter()
                .map(|text| match Choice::parse(text) {
                    Ok(choice) if known.contains(&choice.capture) => Ok(choice),
                    Ok(choice) => Err(format!("`image` captures no `{}`, only {}", choice.capture, known.join(", "))),
                    Err(wrong) => Err(wrong),
                })
                .collect::<Result<Vec<_>, _>>()
        };
        let fields = match options.field_of_view.as_slice() {
            [] => Vec::new(),
            texts => patterns(texts).map_err(|wrong| ("field_of_view", wrong))?,
        };
        for (option, joined) in [("mask", &masks), ("field_of_view", &fields)] {
            let names = joined.first().map_or(&[][..], |pattern| &pattern.names);
            if let Some(name) = names.iter().find(|&name| !known.contains(name)) {
                let wrong = format!("`{option}` captures `{name}`, which `image` doesn't: no image could be joined to it");
                return Err((option, wrong));
            }
        }
        let same = |left: &[Pattern], right: &[Pattern]| {
            left.iter().find(|left| right.iter().any(|right| right.text == left.text)).map(|both| both.text.clone())
        };
        if let Some(both) = same(&images, &masks) {
            return Err(("mask", format!("`{both}` is the pattern of images and of masks")));
        }
        if let Some(both) = same(&fields, &images).or_else(|| same(&fields, &masks)) {
            return Err(("field_of_view", format!("`{both}` is already the pattern of images or of masks")));
        }
        let only = choices(&options.only).map_err(|wrong| ("only", wrong))?;
        let except = choices(&options.except).map_err(|wrong| ("except", wrong))?;
        Ok(Self { images, masks, fields, only, except })
    }
}

/// Reads patterns, which must all have the same captures, at least one.
fn patterns(texts: &[String]) -> Result<Vec<Pattern>, String> {
    let patterns = texts.iter().map(|text| Pattern::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let sorted = |pattern: &Pattern| {
        let mut names = pattern.names.clone();
        names.sort();
        names
    };
    match patterns.as_slice() {
        [] => Err("there is no pattern".into()),
        [first, ..] if first.names.is_empty() => Err(format!(
            "`{}` has no capture to join image and mask: write {{id}} where their names differ from pair to pair",
            first.text
        )),
        [first, others @ ..] => match others.iter().find(|other| sorted(other) != sorted(first)) {
            Some(other) => Err(format!("`{}` and `{}` have different captures", first.text, other.text)),
            None => Ok(patterns),
        },
    }
}
