//! Texts with captures in braces, such as `{child}_{visit}`: what samples of one group or class have in common. Matches no names; `pattern`
//! does.

use crate::pattern::Captures;

/// A text with captures in braces, such as `{child}_{visit}`.
#[derive(Debug)]
pub(crate) struct Template {
    /// As the file has it.
    pub(crate) text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Capture(String),
}

impl Template {
    /// Reads it, or says what is wrong and how to fix it.
    pub(crate) fn parse(text: &str, known: &[String]) -> std::result::Result<Self, (String, String)> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(|| {
                (format!("in `{text}`, a `{{` isn't closed"), "write {NAME}, with the name of a capture".to_owned())
            })?;
            if !known.iter().any(|capture| capture == name) {
                return Err((format!("there is no capture `{name}`"), format!("the captures are {}", known.join(", "))));
            }
            pieces.extend([Piece::Text(before.into()), Piece::Capture(name.into())]);
            rest = after;
        }
        pieces.push(Piece::Text(rest.into()));
        Ok(Self { text: text.into(), pieces })
    }

    /// Whether it differs from sample to sample.
    pub(crate) fn has_capture(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Capture(_)))
    }

    /// The text for a sample; `None` where its name lacks a capture.
    pub(crate) fn of(&self, captures: &Captures) -> Option<String> {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => Some(text.as_str()),
                Piece::Capture(name) => captures.get(name).map(String::as_str),
            })
            .collect()
    }
}
