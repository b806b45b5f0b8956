//! Paths that rarely mean what they say: `\t` in double quotes is a tab, `~` and `$HOME` are nobody's folders. It looks at the text
//! alone, not at the disk.

use pipeline_contract::Severity;

use super::characters;
use super::node::quote;

/// What is doubtful about a path: how bad it is, the message after the option's name, and the help.
pub(super) fn doubt(path: &str) -> Option<(Severity, String, String)> {
    if let Some(control) = path.chars().find(|c| c.is_control()) {
        let (name, escape) = match control {
            '\t' => ("a tab", "`\\t` is a tab"),
            '\n' => ("a line end", "`\\n` is a line end"),
            '\r' => ("a carriage return", "`\\r` is a carriage return"),
            _ => ("a control character", "`\\a`, `\\b`, `\\e`, `\\f` and `\\v` are control characters"),
        };
        let help = format!("in double quotes {escape}: use 'single quotes', or `/` for `\\`");
        return Some((Severity::Error, format!("has {name} in its path {}", quote(path)), help));
    }
    if let Some(name) = unexpanded(path) {
        let message = format!("starts with {}, which isn't expanded", quote(name));
        let help = format!("write the whole path, or one from the working directory; a folder of this very name is `./{name}`");
        return Some((Severity::Error, message, help));
    }
    let outer = [path.chars().next(), path.chars().next_back()];
    let odd =
        outer.into_iter().flatten().find(|&c| characters::is_invisible(c) || "\u{2018}\u{2019}\u{201c}\u{201d}".contains(c));
    let odd = odd.and_then(|c| characters::first(c.encode_utf8(&mut [0; 4])))?;
    Some((Severity::Warning, format!("starts or ends with {}", odd.describe()), odd.mend()))
}

/// The first part of a path where a shell would put something else there: `~`, `~me`, `$HOME`, `%USERPROFILE%`.
fn unexpanded(path: &str) -> Option<&str> {
    let part = path.split(['/', '\\']).next().filter(|part| !part.is_empty())?;
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let variable = part.strip_prefix('$');
    let windows = part.strip_prefix('%').and_then(|name| name.strip_suffix('%'));
    let user = part.strip_prefix('~').filter(|name| name.is_empty() || (is_name(name) && part.len() < path.len()));
    (user.is_some() || variable.is_some_and(is_name) || windows.is_some_and(is_name)).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::unexpanded;

    #[test]
    fn what_a_shell_would_fill_in_is_found_at_the_start_alone() {
        for (path, part) in [
            ("~", "~"),
            ("~/data", "~"),
            ("~me/data", "~me"),
            ("$HOME/data", "$HOME"),
            ("%USERPROFILE%\\data", "%USERPROFILE%"),
        ] {
            assert_eq!(unexpanded(path), Some(part), "{path}");
        }
        for path in
            ["data", "/data", "./~", "./$HOME", "a~", "data~1/x", "~$lock.docx", "~backup", "$1", "${x}/y", "100%", "cost$/x"]
        {
            assert_eq!(unexpanded(path), None, "{path}");
        }
    }
}
