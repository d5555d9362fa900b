//! The lines of a file, checked before anything is changed.

use std::collections::HashMap;
use std::path::Path;

use super::super::declaration::Declaration;
use super::super::metadata::object;
use crate::error::{Error, Result};
use crate::file;

/// A client of the file.
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) client_id: String,
    pub(super) declared: Declaration,
}

pub(super) fn read(file: &Path) -> Result<Vec<Line>> {
    parse(&file::read_or_stdin(file)?, &file::name(file))
}

fn parse(text: &str, file: &str) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut numbers = HashMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = index + 1;
        let place = format!("{file}, line {number}");
        let wrong = |why: &str| Error::Failed(format!("{place}: {why}; nothing was changed"));
        let declared = object(line, &place)?;
        let declared =
            Declaration::from_json(declared).map_err(|error| wrong(&error.to_string()))?;
        let Some(client_id) = declared.client_id.clone() else {
            return Err(wrong("client_id: is missing"));
        };
        if let Some(other) = numbers.insert(client_id.clone(), number) {
            return Err(wrong(&format!("{client_id} is on line {other} already")));
        }
        lines.push(Line { number, client_id, declared });
    }
    Ok(lines)
}
