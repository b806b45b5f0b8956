//! Splits a text at its `${...}`. `references` resolves them.

/// A part of a text with references.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Text that stays.
    Text(&'a str),
    /// The dotted key between `${` and `}`.
    Reference(&'a str),
}

/// The pieces of a text; `$${` stands for the text `${`.
///
/// # Errors
/// What is wrong with a `${`.
pub(super) fn split(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            pieces.push(Piece::Text(&rest[..at - 1]));
            pieces.push(Piece::Text("${"));
            rest = &rest[at + 2..];
            continue;
        }
        pieces.push(Piece::Text(&rest[..at]));
        let inside = &rest[at + 2..];
        let end = inside.find('}').ok_or("a `${` is never closed")?;
        let key = inside[..end].trim();
        if key.is_empty() {
            return Err("a `${}` names no key".into());
        }
        if key.contains(['{', '$']) {
            return Err("a `${` is never closed, or stands inside another".into());
        }
        pieces.push(Piece::Reference(key));
        rest = &inside[end + 1..];
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| *piece != Piece::Text(""));
    Ok(pieces)
}

/// The text that [`split`] reads back as `text`.
pub(super) fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

#[cfg(test)]
mod tests {
    use super::{Piece::*, escape, split};

    #[test]
    fn references_and_escapes() {
        assert_eq!(split("${a.b}"), Ok(vec![Reference("a.b")]));
        assert_eq!(split("x/${ a }/y$z"), Ok(vec![Text("x/"), Reference("a"), Text("/y$z")]));
        assert_eq!(split("$${a}${b}"), Ok(vec![Text("${"), Text("a}"), Reference("b")]));
        for bad in ["${", "${a", "x${}", "${a${b}}"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn escaped_text_is_read_back() {
        for text in ["${a}", "$${a}", "a$", "$$$${", "é${"] {
            let escaped = escape(text);
            let back: String = split(&escaped)
                .unwrap_or_default()
                .iter()
                .map(|piece| if let Text(text) = piece { text } else { "?" })
                .collect();
            assert_eq!(back, text);
        }
    }
}
