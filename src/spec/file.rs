//! Gets a file's bytes off the disk, and its text out of these: small, UTF-8, not binary; otherwise says why not.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::diagnostic::Diagnostic;

/// No pipeline file is larger; what is, isn't read to its end.
const LARGEST: u64 = 1 << 20;

/// The bytes of a pipeline file; of a file that is too large, one more than a pipeline file may have.
///
/// # Errors
/// One problem with the file as a whole.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    read_bytes(path).map_err(|error| cannot_read(&error))?
}

/// The text in the bytes of a pipeline file.
///
/// # Errors
/// One problem with the file as a whole.
pub(super) fn text(bytes: Vec<u8>) -> Result<String, Diagnostic> {
    if bytes.len() as u64 > LARGEST {
        return Err(problem("larger than 1 MiB", "a pipeline file is a page of YAML; is this the right file?"));
    }
    if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
        let help = if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            "it looks like UTF-16: save it as UTF-8"
        } else {
            "is this the right file? A pipeline file is YAML text"
        };
        return Err(problem(format!("not a text file: byte {at} is 0"), help));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].iter().filter(|&&byte| byte == b'\n').count() + 1;
        problem(format!("not UTF-8: byte {valid}, in line {line}"), "save it as UTF-8")
    })
}

fn read_bytes(path: &Path) -> std::io::Result<Result<Vec<u8>, Diagnostic>> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Ok(Err(problem("is a folder", "name the pipeline file inside it")));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(Ok(bytes))
}

fn cannot_read(error: &std::io::Error) -> Diagnostic {
    match error.kind() {
        ErrorKind::NotFound => problem("no such file", "check the path, which is relative to the working directory"),
        ErrorKind::PermissionDenied => problem("permission denied", "check its permissions"),
        _ => Diagnostic::error(None, format!("can't be read: {error}")),
    }
}

fn problem(message: impl Into<String>, help: &str) -> Diagnostic {
    Diagnostic::error(None, message).help(help)
}
