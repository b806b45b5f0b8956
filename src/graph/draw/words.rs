//! Amounts, shares and lengths of text as the drawings write them.
//! Nothing here knows a graph.

/// Bytes in the largest unit that keeps them short: `256 MiB`, `1.5 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if amount.fract() == 0.0 { format!("{amount} {}", UNITS[unit]) } else { format!("{amount:.1} {}", UNITS[unit]) }
}

/// A number with its noun: `1 stage`, `4 stages`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A share as people write it: `62%`, `0.4%`.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 || percent >= 0.95 { format!("{percent:.0}%") } else { format!("{percent:.1}%") }
}

/// Seconds: `62.1 s`, `14 min`, `3.2 h`.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 600.0 => format!("{s:.1} s"),
        s if s < 36_000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// At most `most` characters; what is cut off is shown by an ellipsis.
pub(super) fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.into();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// How many cells of a terminal a text takes: East Asian characters and pictograms take two.
pub(super) fn cells(text: &str) -> usize {
    text.chars().map(width).sum()
}

fn width(c: char) -> usize {
    match c as u32 {
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 => 2,
        0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// At most `most` cells of a terminal; what is cut off is shown by an ellipsis.
pub(super) fn fit(text: &str, most: usize) -> String {
    if cells(text) <= most {
        return text.into();
    }
    let mut left = most.saturating_sub(1);
    let fits = |c: &char| {
        left.checked_sub(width(*c)).is_some_and(|rest| {
            left = rest;
            true
        })
    };
    let kept: String = text.chars().take_while(fits).collect();
    format!("{}…", kept.trim_end())
}

/// Characters that no format can carry (controls, and what XML 1.0 forbids) become the replacement character.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { '\u{fffd}' } else { c }).collect()
}

/// Text between tags or in attributes of XML, and in Graphviz' HTML-like labels.
pub(super) fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The width of a text in a system's sans-serif, in units of the font size: a generous estimate, since no font is at hand.
pub(super) fn ems(text: &str) -> f64 {
    text.chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 0.30,
            ' ' | 'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '/' | '·' => 0.40,
            'm' | 'w' | 'M' | 'W' | '%' | '…' => 0.92,
            'A'..='Z' => 0.70,
            c if c.is_ascii() => 0.59,
            // Latin and Greek letters with marks are as wide as plain ones; everything above may be a full square.
            c if (c as u32) < 0x1100 || c == '≤' => 0.64,
            _ => 1.05,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        assert_eq!(["0 B", "1 KiB", "256 MiB", "1.5 GiB"].map(String::from), [0, 1 << 10, 256 << 20, 3 << 29].map(bytes));
        assert_eq!(["0%", "0.4%", "62%", "100%"].map(String::from), [0.0, 0.004, 0.62, 1.0].map(percent));
        assert_eq!(count(1, "lane"), "1 lane");
    }

    #[test]
    fn texts_are_escaped_and_cut() {
        assert_eq!(xml("<a & \"b\"\u{0}>"), "&lt;a &amp; &quot;b&quot;\u{fffd}&gt;");
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!(shorten("äöü", 3), "äöü");
    }
}
