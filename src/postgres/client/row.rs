use chrono::{DateTime, Utc};
use sqlx::types::Json;

use crate::client::{Client, ClientDetails, ClientMetadata};
use crate::error::{Error, Result};

pub(super) struct ClientRow {
    pub(super) client_id: String,
    pub(super) client_id_issued_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) disabled_at: Option<DateTime<Utc>>,
    pub(super) deleted_at: Option<DateTime<Utc>>,
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) last_used_at: Option<DateTime<Utc>>,
    pub(super) client_secret_expires_at: Option<DateTime<Utc>>,
    pub(super) token_endpoint_auth_method: String,
    pub(super) redirect_uris: Vec<String>,
    pub(super) grant_types: Vec<String>,
    pub(super) response_types: Vec<String>,
    pub(super) scope: String,
    pub(super) details: Json<ClientDetails>,
}

impl ClientRow {
    pub(super) fn into_client(self) -> Result<Client> {
        let row = self.client_id.clone();
        let corrupt = |column| {
            let row = row.clone();
            move |error: Error| Error::Corrupt {
                table: "oauth_storage.client",
                column,
                row,
                message: error.to_string(),
            }
        };
        Ok(Client {
            metadata: ClientMetadata {
                redirect_uris: self.redirect_uris,
                token_endpoint_auth_method: self
                    .token_endpoint_auth_method
                    .parse()
                    .map_err(corrupt("token_endpoint_auth_method"))?,
                grant_types: parsed(&self.grant_types).map_err(corrupt("grant_types"))?,
                response_types: parsed(&self.response_types).map_err(corrupt("response_types"))?,
                scope: self.scope.parse().map_err(corrupt("scope"))?,
                details: self.details.0,
            },
            client_id: self.client_id,
            client_id_issued_at: self.client_id_issued_at,
            client_secret_expires_at: self.client_secret_expires_at,
            updated_at: self.updated_at,
            disabled_at: self.disabled_at,
            deleted_at: self.deleted_at,
            expires_at: self.expires_at,
            last_used_at: self.last_used_at,
        })
    }
}

fn parsed<T: std::str::FromStr<Err = Error>>(names: &[String]) -> Result<Vec<T>> {
    names.iter().map(|name| name.parse()).collect()
}
