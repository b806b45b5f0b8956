//! Names of files as text: which bytes they have, and which normal form. Two names are told apart by bytes, so nothing here is lossy; they are
//! alike when their normal forms (NFC) are equal, as names are that were on a Mac. Knows no folders.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Write as _;

use unicode_normalization::UnicodeNormalization as _;

/// The characters that stand for bytes 0x80 to 0xff which are no UTF-8. They are for private use; where a name holds one, its own bytes are
/// replaced, too, so that no two names have one text.
const RAW: u32 = 0x10_fe00;

fn is_raw(c: char) -> bool {
    (RAW + 0x80..=RAW + 0xff).contains(&u32::from(c))
}

/// A name as text, for matching and comparing: different names have different texts. One character stands for each byte that is no UTF-8.
pub(crate) fn exact(name: &OsStr) -> String {
    let mut text = String::with_capacity(name.len());
    let raw =
        |bytes: &[u8], text: &mut String| text.extend(bytes.iter().filter_map(|&byte| char::from_u32(RAW + u32::from(byte))));
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_raw(c) {
                raw(c.encode_utf8(&mut [0; 4]).as_bytes(), &mut text);
            } else {
                text.push(c);
            }
        }
        raw(chunk.invalid(), &mut text);
    }
    text
}

/// The same text in Unicode normal form C.
pub(crate) fn normal(text: &str) -> Cow<'_, str> {
    if text.is_ascii() { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

/// A text of [`exact`] for people: bytes that are no UTF-8 as `\xE9`.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_raw(c) {
            // Writing to a text can't fail.
            let _ = write!(shown, "\\x{:02X}", u32::from(c) - RAW);
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A text of [`exact`] for people who have another one before them that looks the same.
pub(crate) fn with_form(text: &str) -> String {
    let form = match normal(text) {
        same if same == text => "NFC",
        _ if text.nfd().eq(text.chars()) => "NFD",
        _ => "in mixed Unicode forms",
    };
    format!("{} ({form})", shown(text))
}

/// What is wrong where neither bytes nor forms say which files belong together.
pub(crate) const UNCLEAR: &str = "names that differ in Unicode form alone, so that no one knows which mask is whose";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_two_forms_are_alike_and_others_are_not() {
        for (left, right, alike) in [
            ("œil_é_1", "œil_e\u{301}_1", true),
            ("a\u{30a}", "å", true),
            ("ế", "e\u{302}\u{301}", true),
            ("ế", "ê\u{301}", true),
            ("한", "\u{1112}\u{1161}\u{11ab}", true),
            ("が", "か\u{3099}", true),
            ("e", "é", false),
            ("é_1", "e\u{301}_2", false),
            ("é", "e\u{301}a", false),
            // Compatible characters are other characters.
            ("ﬁ", "fi", false),
            ("É", "é", false),
        ] {
            assert_eq!(normal(left) == normal(right), alike, "{left} {right}");
        }
        assert_eq!([with_form("é"), with_form("e\u{301}")], ["é (NFC)", "e\u{301} (NFD)"]);
        assert_eq!(with_form("ê\u{301}"), "ê\u{301} (in mixed Unicode forms)");
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_unicode_keep_all_their_bytes() {
        use std::os::unix::ffi::OsStrExt as _;
        let text = |bytes: &[u8]| exact(OsStr::from_bytes(bytes));
        let names: [&[u8]; 8] = [
            b"a\xff",
            b"a\xfe",
            b"a\\xFF",
            b"a",
            b"a\xff\xfe",
            "a\u{fffd}".as_bytes(),
            // What stands for a byte, and the bytes of that.
            "a\u{10feff}".as_bytes(),
            b"a\xf4\x8f\xbb",
        ];
        for (at, left) in names.iter().enumerate() {
            for right in &names[at + 1..] {
                assert_ne!(text(left), text(right));
                assert_ne!(normal(&text(left)), normal(&text(right)));
            }
        }
        assert_eq!((text("é".as_bytes()), text(b"\xe9").chars().count()), ("é".into(), 1));
        assert_eq!(shown(&text(b"caf\xe9_\x01\xff.png")), "caf\\xE9_\u{1}\\xFF.png");
    }
}
