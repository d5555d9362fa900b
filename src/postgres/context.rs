//! The columns of a [`GrantContext`], which stand on codes and tokens alike.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::types::Json;

use crate::model::GrantContext;

/// Parts the values of a list inside one text parameter, for an array of arrays cannot be
/// unnested row by row. No value has a control character: [`GrantContext::check`] refused it.
const SEPARATOR: &str = "\u{1f}";

/// A column of type `jsonb` that holds an object.
pub(super) type JsonObject = Json<Map<String, Value>>;

/// One array a column: the parameters of an `UNNEST`.
#[derive(Default)]
pub(super) struct ContextColumns {
    pub(super) nonce: Vec<Option<String>>,
    pub(super) auth_time: Vec<Option<DateTime<Utc>>>,
    pub(super) acr: Vec<Option<String>>,
    pub(super) amr: Vec<Option<String>>,
    pub(super) claims: Vec<Option<JsonObject>>,
    pub(super) resource: Vec<Option<String>>,
    pub(super) jkt: Vec<Option<String>>,
    pub(super) x5t_s256: Vec<Option<String>>,
    pub(super) extension: Vec<Option<JsonObject>>,
}

impl ContextColumns {
    pub(super) fn of<'a>(contexts: impl Iterator<Item = &'a GrantContext>) -> Self {
        let mut columns = Self::default();
        for context in contexts {
            columns.nonce.push(context.nonce.clone());
            columns.auth_time.push(context.auth_time);
            columns.acr.push(context.acr.clone());
            columns.amr.push(joined(&context.amr));
            columns.claims.push(context.claims.clone().map(Json));
            columns.resource.push(joined(&context.resource));
            columns.jkt.push(context.jkt.clone());
            columns.x5t_s256.push(context.x5t_s256.clone());
            columns.extension.push(context.extension.clone().map(Json));
        }
        columns
    }
}

/// An empty list is null: it costs a bit rather than 17 bytes.
fn joined(values: &[String]) -> Option<String> {
    (!values.is_empty()).then(|| values.join(SEPARATOR))
}

/// The context of a row that has its columns.
macro_rules! context {
    ($row:ident) => {
        crate::model::GrantContext {
            nonce: $row.nonce,
            auth_time: $row.auth_time,
            acr: $row.acr,
            amr: $row.amr.unwrap_or_default(),
            claims: $row.claims.map(|json| json.0),
            resource: $row.resource.unwrap_or_default(),
            jkt: $row.jkt,
            x5t_s256: $row.x5t_s256,
            extension: $row.extension.map(|json| json.0),
        }
    };
}

pub(super) use context;
