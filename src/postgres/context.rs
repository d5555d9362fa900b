//! The column `context` of grants: a [`GrantContext`] as one JSON object.

use crate::context::GrantContext;

/// Returns null for an empty context, which costs a bit rather than an object.
pub(super) fn to_column(context: &GrantContext) -> sqlx::Result<Option<String>> {
    if *context == GrantContext::default() {
        return Ok(None);
    }
    serde_json::to_string(context).map(Some).map_err(|error| sqlx::Error::Encode(error.into()))
}

pub(super) fn from_column(column: Option<String>) -> serde_json::Result<GrantContext> {
    column.map_or_else(|| Ok(GrantContext::default()), |json| serde_json::from_str(&json))
}
