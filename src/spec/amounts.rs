//! Amounts of memory as people write them, `16GiB`, to bytes.

const UNITS: [(&str, u64); 13] = [
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    // As tools for the command line write them.
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

/// Bytes of `16GiB`, `512 MiB`, `1.5GB`: a number and a unit, in either case.
///
/// # Errors
/// How to write it, where that can be told.
pub(super) fn parse(text: &str) -> Result<u64, Option<String>> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    let unit = unit.trim();
    let parsed: f64 = number.parse().map_err(|_| None)?;
    let scale = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, scale)| *scale);
    let Some(scale) = scale else {
        let meant = unit
            .strip_suffix(['i', 'I'])
            .filter(|letter| letter.len() == 1 && UNITS.iter().any(|(name, _)| name.eq_ignore_ascii_case(letter)));
        return Err(match meant {
            Some(letter) => Some(format!("did you mean `{number}{}iB`?", letter.to_ascii_uppercase())),
            _ if unit.is_empty() => Some(format!("add a unit: `{number}MiB`, or give bytes as a whole number")),
            _ => Some("the units are B, KiB, MiB, GiB, TiB (powers of 1024; K, M, G and T are the same) and KB, MB, GB, TB (powers of 1000)".into()),
        });
    };
    // Whole numbers exactly, fractions to the nearest byte.
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(scale),
        Err(_) => Some((parsed * scale as f64).round()).filter(|bytes| *bytes < u64::MAX as f64).map(|bytes| bytes as u64),
    };
    bytes.filter(|bytes| *bytes <= i64::MAX as u64).ok_or_else(|| Some("that is more memory than there is".into()))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn amounts() {
        for (text, bytes) in [
            ("16GiB", 16 << 30),
            ("512 MiB", 512 << 20),
            ("1.5GB", 1_500_000_000),
            ("0.5gib", 1 << 29),
            ("100b", 100),
            ("16G", 16 << 30),
            ("16 m", 16 << 20),
            (" 3 TB ", 3_000_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "GiB", "-1GiB", "1..5GiB", "16Gi", "16", "1e3MiB", "99999999TiB", "16 GiB of", "0x10MiB", "\u{661}GiB"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("16gi"), Err(Some("did you mean `16GiB`?".into())));
    }
}
