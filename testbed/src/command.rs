//! Programs that the testbed runs, and what it says meanwhile.

use std::io::Write as _;
use std::process::Stdio;

use tokio::process::Command;

/// The lines of a failure that are reported.
const LINES: usize = 6;

/// Runs a program without input. Returns the end of its messages if it fails.
///
/// If the future is dropped, the program is killed.
pub(crate) async fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let end = lines[lines.len().saturating_sub(LINES)..].join("\n    ");
    Err(if end.is_empty() { output.status.to_string() } else { end })
}

/// Prints a line past the capture of the test harness, because the user waits.
#[allow(clippy::explicit_write, reason = "`eprintln!` is captured")]
pub(crate) fn say(line: &str) {
    // Nobody may be there to read it.
    let _ = writeln!(std::io::stderr(), "oauth-storage-testbed: {line}");
}
