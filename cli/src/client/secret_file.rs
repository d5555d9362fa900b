//! A file for secrets that only its owner reads.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A new file of mode 600. It is removed again if nothing was written to it.
pub(crate) struct SecretFile {
    path: PathBuf,
    file: File,
    is_empty: bool,
}

impl SecretFile {
    /// Creates the file, before the secret is made: a secret that cannot be written is lost.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let place = path.display();
        let file = options.open(path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                Error::Usage(format!("{place} exists and is not overwritten; name a new file"))
            }
            _ => Error::Failed(format!("cannot create {place}: {error}")),
        })?;
        Ok(Self { path: path.to_owned(), file, is_empty: true })
    }

    /// Writes a line.
    pub(crate) fn write(&mut self, line: &str) -> Result<()> {
        self.is_empty = false;
        writeln!(self.file, "{line}").and_then(|()| self.file.sync_all()).map_err(|error| {
            Error::Failed(format!("cannot write to {}: {error}", self.path.display()))
        })
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if self.is_empty {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
