//! Input from files and from standard input.

use std::io::Read as _;
use std::path::Path;

use crate::error::{Error, Result};

/// The text of a file.
pub(crate) fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))
}

/// The text of a file, or of standard input for `-`.
pub(crate) fn read_or_stdin(file: &Path) -> Result<String> {
    if file != Path::new("-") {
        return read(file);
    }
    let mut text = String::new();
    match std::io::stdin().read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(unreadable(file, &error)),
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> Error {
    Error::Failed(format!("cannot read {}: {error}", name(file)))
}

/// The name of an input in messages.
pub(crate) fn name(file: &Path) -> String {
    if file == Path::new("-") { "standard input".into() } else { file.display().to_string() }
}
