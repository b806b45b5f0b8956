//! Splits Rust source into words and punctuation, without comments, texts and what only tests compile.
//! As much of the language as `imports` needs, and no more.

/// The tokens of a source file: identifiers, `::`, and every other sign by itself.
pub fn tokens(source: &str) -> Vec<String> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut found, mut i) = (Vec::new(), 0);
    while i < chars.len() {
        let begin = i;
        match chars[i] {
            '/' if at(i + 1) == '/' => i = line_end(&chars, i),
            '/' if at(i + 1) == '*' => i = comment_end(&chars, i),
            '"' => i = text_end(&chars, i),
            'r' | 'b' | 'c' if raw_text(&chars, i).is_some() => i = raw_text(&chars, i).unwrap_or(i),
            'b' | 'c' if at(i + 1) == '"' => i = text_end(&chars, i + 1),
            // 'a' is a character, 'a a lifetime.
            '\'' if at(i + 1) == '\\' => i = (i + 3..).find(|&end| matches!(at(end), '\'' | '\0')).unwrap_or(i) + 1,
            '\'' if at(i + 2) == '\'' => i += 3,
            c if is_word(c) => {
                i = (i..).find(|&end| !is_word(at(end))).unwrap_or(chars.len());
                found.push(chars[begin..i].iter().collect());
            }
            ':' if at(i + 1) == ':' => {
                i += 2;
                found.push("::".to_owned());
            }
            c => {
                i += 1;
                found.extend((!c.is_whitespace()).then(|| c.to_string()));
            }
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn line_end(chars: &[char], begin: usize) -> usize {
    (begin..chars.len()).find(|&end| chars[end] == '\n').unwrap_or(chars.len())
}

/// Comments nest.
fn comment_end(chars: &[char], begin: usize) -> usize {
    let (mut depth, mut i) = (0, begin);
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn text_end(chars: &[char], begin: usize) -> usize {
    let mut i = begin + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// Where `r"..."`, `r#"..."#` or `br"..."` ends that begins here.
fn raw_text(chars: &[char], begin: usize) -> Option<usize> {
    let r = if chars[begin] == 'r' { begin } else { begin + 1 };
    let marks = chars.get(r + 1..)?.iter().take_while(|&&c| c == '#').count();
    if chars.get(r) != Some(&'r') || chars.get(r + 1 + marks) != Some(&'"') {
        return None;
    }
    let closes = |end: &usize| chars[*end] == '"' && chars[end + 1..].iter().take_while(|&&c| c == '#').count() >= marks;
    (r + 2 + marks..chars.len()).find(closes).map(|end| end + 1 + marks)
}

/// Separates the tokens from those of items under `#[cfg(test)]`.
pub fn without_tests(tokens: Vec<String>) -> (Vec<String>, Vec<String>) {
    const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut tests, mut i) = (Vec::new(), Vec::new(), 0);
    while i < tokens.len() {
        if tokens[i..].iter().take(CFG_TEST.len()).eq(&CFG_TEST) {
            let end = item_end(&tokens, i + CFG_TEST.len());
            tests.extend_from_slice(&tokens[i + CFG_TEST.len()..end]);
            i = end;
        } else {
            kept.push(tokens[i].clone());
            i += 1;
        }
    }
    (kept, tests)
}

/// Where an item ends: behind its `;`, or its block.
fn item_end(tokens: &[String], begin: usize) -> usize {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(begin) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(token.as_str(), ";" | "}") {
            return i + 1;
        }
    }
    tokens.len()
}

#[test]
fn tokens_are_those_of_code() {
    let source = r###"
        // use comment::line;
        /* use comment::block; /* nested */ */
        fn f<'a>(text: &'a str) { g("use text::plain; \" ", r#"use text::"raw""#, b'\'', '"', '\u{7f}', a::b) }
        #[cfg(test)]
        #[expect(clippy::unwrap_used, reason = "a test")]
        mod tests { use super::*; }
        #[cfg(test)]
        mod testing;
        const LAST: [u8; 2] = [0; 2];
    "###;
    let (code, tests) = without_tests(tokens(source));
    let expected = "fn f < ' a > ( text : & ' a str ) { g ( , , b , , , a :: b ) } const LAST : [ u8 ; 2 ] = [ 0 ; 2 ] ;";
    assert_eq!(code.join(" "), expected);
    assert!(tests.join(" ").ends_with("mod tests { use super :: * ; } mod testing ;"), "{tests:?}");
}
