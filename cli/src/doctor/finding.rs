//! The outcome of a check.

use serde::Serialize;

/// The importance of a finding. The exit status is that of the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Ok,
    /// It works, and somebody should look at it.
    Warning,
    /// It does not work, or data can be lost.
    Error,
}

/// One checked property.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) severity: Severity,
    /// The state that was found.
    pub(super) found: String,
    /// The remedy; `None` if nothing has to be done.
    pub(super) action: Option<String>,
}

/// The findings of a check, or one that says that all is well.
pub(super) fn or_ok(check: &'static str, found: Vec<Finding>, ok: &str) -> Vec<Finding> {
    if found.is_empty() { vec![Finding::ok(check, ok)] } else { found }
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, severity: Severity::Ok, found: found.into(), action: None }
    }

    pub(super) fn warning(
        check: &'static str,
        found: impl Into<String>,
        action: impl Into<String>,
    ) -> Self {
        let (found, action) = (found.into(), Some(action.into()));
        Self { check, severity: Severity::Warning, found, action }
    }

    pub(super) fn error(
        check: &'static str,
        found: impl Into<String>,
        action: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Error, ..Self::warning(check, found, action) }
    }
}
