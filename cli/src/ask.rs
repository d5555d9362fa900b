//! Questions before a change of many records, and secrets that are typed.

use std::io::{ErrorKind, IsTerminal as _, Write as _, stderr, stdin};

use oauth_storage::Secret;

use crate::error::{Error, Result};
use crate::output;

/// Asks a question, unless it was answered with `--yes`.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !stdin().is_terminal() {
        return Err(Error::Usage("standard input is not a terminal; confirm with --yes".into()));
    }
    let mut err = stderr().lock();
    write!(err, "{} [y/N] ", output::visible(question))?;
    err.flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::Refused("nothing was changed".into())),
    }
}

/// Asks for a secret, which the terminal does not echo.
pub(crate) fn secret(prompt: &str) -> Result<Secret> {
    // At Ctrl-C rpassword raises SIGINT before it restores the terminal, so the signal must not end the process. It
    // is ignored from here on; what follows has a deadline.
    #[cfg(unix)]
    let _signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    match rpassword::prompt_password(prompt) {
        Ok(secret) => Ok(Secret::new(secret)),
        Err(error) if error.kind() == ErrorKind::Interrupted => {
            eprintln!();
            Err(Error::Refused("nothing was changed".into()))
        }
        Err(error) => Err(error.into()),
    }
}
