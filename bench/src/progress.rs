//! A progress line on the terminal; nothing if standard error is not a terminal.

use std::io::{IsTerminal as _, Write as _};

pub(crate) struct Progress {
    what: String,
    total: u64,
    watched: bool,
}

impl Progress {
    /// Starts a progress line. With a total of zero it has no percentage.
    pub(crate) fn new(what: String, total: u64) -> Self {
        Self { what, total, watched: std::io::stderr().is_terminal() }
    }

    pub(crate) fn at(&self, done: u64) {
        if !self.watched {
            return;
        }
        let mut stderr = std::io::stderr().lock();
        // Back to the start of the line, and clear it.
        let _ = match (done * 100).checked_div(self.total) {
            Some(percent) => write!(stderr, "\r\x1b[K{}: {percent} %", self.what),
            None => write!(stderr, "\r\x1b[K{} …", self.what),
        };
        let _ = stderr.flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.watched {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
