//! Tables, JSON, progress bars and signals.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::time::Duration;

use chrono::{DateTime, Utc};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::error::Result;

/// A table with a line of headings, as wide as the terminal.
pub(crate) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings);
    // A terminal that does not tell its width reports none, or nearly none.
    if stdout().is_terminal() && table.width().is_some_and(|columns| columns >= 40) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

/// Returns true if colours help.
pub(crate) fn has_colours() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Text as a terminal may show it. Clients choose their names and URIs, so characters that control a terminal or reorder
/// the text are replaced.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let is_hostile = |c: char| c != '\n' && is_hostile(c);
    if text.contains(is_hostile) {
        Cow::Owned(text.replace(is_hostile, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Controls a terminal, or the direction of the text.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes a table without its margins.
pub(crate) fn print(table: &Table) -> Result<()> {
    write_table(&visible(&table.trim_fmt()))
}

/// Writes a table with colours. Its text must be [`visible`].
pub(crate) fn print_coloured(table: &Table) -> Result<()> {
    write_table(&table.trim_fmt())
}

fn write_table(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    for line in text.lines() {
        writeln!(out, "{}", line.strip_prefix(' ').unwrap_or(line))?;
    }
    Ok(())
}

/// Writes a value as JSON, on one line.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    Ok(writeln!(stdout(), "{}", json_text(value)?)?)
}

/// A value as JSON on one line, which a terminal can show. JSON escapes only the control characters of ASCII but DEL.
pub(crate) fn json_text(value: &impl Serialize) -> Result<String> {
    let mut out = String::new();
    for c in serde_json::to_string(value)?.chars() {
        if is_hostile(c) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Ok(out)
}

/// Writes a line.
pub(crate) fn line(text: &str) -> Result<()> {
    Ok(writeln!(stdout(), "{}", visible(text))?)
}

/// A table of names and values.
pub(crate) fn fields() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

/// Aligns columns of numbers.
pub(crate) fn align_right(table: &mut Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// A number with a comma after each thousand.
pub(crate) fn number(number: i64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of things: `1 grant`, `2 grants`.
pub(crate) fn count(things: u64, name: &str) -> String {
    let plural = if things == 1 { "" } else { "s" };
    format!("{} {name}{plural}", number(i64::try_from(things).unwrap_or(i64::MAX)))
}

/// The clock of this machine, for people and for comparison. PostgreSQL's decides.
#[expect(clippy::disallowed_methods, reason = "nothing is decided by it")]
pub(crate) fn local_clock() -> DateTime<Utc> {
    Utc::now()
}

/// A time as people say it: `in 29 min`, `3 h ago`, or a date.
pub(crate) fn time(at: DateTime<Utc>) -> String {
    since(at, local_clock())
}

/// Returns true if a time has passed, by the clock of this machine.
pub(crate) fn is_past(at: DateTime<Utc>) -> bool {
    at <= local_clock()
}

/// The time that is left; `None` if it has passed.
pub(crate) fn until(at: DateTime<Utc>) -> Option<Duration> {
    (at - local_clock()).to_std().ok().filter(|rest| !rest.is_zero())
}

fn since(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (at - now).num_seconds();
    if seconds.unsigned_abs() < 2 {
        return "now".to_owned();
    }
    if seconds.unsigned_abs() >= 60 * 86_400 {
        return at.format("%Y-%m-%d").to_string();
    }
    let length = length(seconds.unsigned_abs());
    if seconds < 0 { format!("{length} ago") } else { format!("in {length}") }
}

/// A length of time in its largest unit: `30 s`, `3 h`.
pub(crate) fn length(seconds: u64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A progress bar on standard error, if that is a terminal; a spinner if the length is unknown.
pub(crate) fn bar(length: Option<u64>, template: &str) -> ProgressBar {
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    // The templates are fixed, so they are valid.
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Runs an operation of unknown length, with its duration on a terminal.
pub(crate) async fn waiting<T, E>(
    name: &'static str,
    operation: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let bar =
        if stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    bar.set_message(name);
    bar.enable_steady_tick(Duration::from_millis(100));
    let outcome = operation.await;
    bar.finish_and_clear();
    outcome
}

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn ended() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_terminal_is_not_controlled() {
        assert_eq!(
            visible("Notes, with ümlaut\nand 👩\u{200d}💻"),
            "Notes, with ümlaut\nand 👩\u{200d}💻"
        );
        for hostile in ["\x1b[2J", "\r", "\x07", "\x7f", "\u{9b}2J", "\u{202e}", "\u{2066}"] {
            let shown = visible(hostile);
            assert!(shown.starts_with('\u{fffd}'), "{hostile:?}");
            assert!(!shown.contains(is_hostile));
            let json = json_text(&hostile).unwrap();
            assert!(!json.contains(is_hostile), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), hostile);
        }
    }

    #[test]
    fn numbers_and_times_are_easy_to_read() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([59, 180, 10_000, 9_000_000].map(length), ["59 s", "3 min", "2 h", "104 days"]);
        assert_eq!(
            [0, 1, 2].map(|things| count(things, "grant")),
            ["0 grants", "1 grant", "2 grants"]
        );
        let now = local_clock();
        for (seconds, text) in [
            (1, "now"),
            (30, "in 30 s"),
            (1_740, "in 29 min"),
            (-10_900, "3 h ago"),
            (-864_000, "10 days ago"),
        ] {
            assert_eq!(since(now + TimeDelta::seconds(seconds), now), text);
        }
    }
}
