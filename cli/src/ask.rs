//! Questions before what cannot be undone.

use std::io::{IsTerminal as _, Write as _, stderr, stdin};

use crate::error::{Error, Result};

/// Asks a question, unless it was answered with `--yes`.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !stdin().is_terminal() {
        return Err(Error::Usage("nobody can be asked; use --yes".into()));
    }
    let mut err = stderr().lock();
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::Refused("nothing was changed".into())),
    }
}
