//! Client lookup and authentication.

use async_trait::async_trait;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::row::ClientRow;
use crate::check::check_client_id;
use crate::client::secret::verify_client_secret;
use crate::client::{Client, ClientDetails, ClientStorage};
use crate::error::Result;
use crate::postgres::PgStorage;
use crate::postgres::batching::{Connections, Statement};
use crate::postgres::error::Effect;
use crate::postgres::telemetry::observe;
use crate::postgres::token::by_position;
use crate::request::RequestContext;
use crate::secret::Secret;

#[async_trait]
impl<C: Connections> ClientStorage for PgStorage<C> {
    async fn get_client(
        &self,
        _request: &RequestContext,
        client_id: &str,
        client_secret: Option<&Secret>,
    ) -> Result<Option<Client>> {
        observe!(self, get_client on client, client_id)
            .run(async {
                if check_client_id(client_id).is_err() {
                    return Ok(None);
                }
                let found = self.connections.run(FindClient(client_id.to_owned())).await?;
                if let Some(secret) = client_secret {
                    let hashes = found.as_deref().map_or(&[][..], |found| &found.hashes);
                    if !verify_client_secret(secret, hashes).await? {
                        return Ok(None);
                    }
                }
                if found.as_ref().is_some_and(|found| found.unmarked) {
                    self.connections.run_later(MarkClientUsed(client_id.to_owned()));
                }
                found.map(|found| found.row.into_client()).transpose()
            })
            .await
    }
}

struct FindClient(String);

struct FoundClient {
    row: ClientRow,
    /// The hashes of the secrets that have not expired.
    hashes: Vec<String>,
    /// True if today's use has not been written.
    unmarked: bool,
}

impl Statement for FindClient {
    /// `None` for a client that is unknown or disabled. Boxed because it is large.
    type Outcome = Option<Box<FoundClient>>;
    const NAME: &'static str = "get_client";
    const EFFECT: Effect = Effect::Read;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let client_id: Vec<&str> = batch.iter().map(|find| find.0.as_str()).collect();
        let rows = sqlx::query_file!("src/postgres/sql/find_client.sql", &client_id as _,)
            .fetch_all(connection)
            .await?;
        let found = rows.into_iter().map(|row| {
            let hashes = row.client_secret_hash.into_iter();
            let found = FoundClient {
                row: ClientRow {
                    client_id: row.client_id,
                    client_id_issued_at: row.client_id_issued_at,
                    updated_at: row.updated_at,
                    disabled_at: row.disabled_at,
                    deleted_at: row.deleted_at,
                    expires_at: row.expires_at,
                    last_used_at: row.last_used_at,
                    client_secret_expires_at: row.client_secret_expires_at,
                    token_endpoint_auth_method: row.token_endpoint_auth_method,
                    redirect_uris: row.redirect_uris,
                    grant_types: row.grant_types,
                    response_types: row.response_types,
                    scope: row.scope,
                    details: row.details,
                },
                hashes: hashes.chain(row.previous_client_secret_hashes).collect(),
                unmarked: row.unmarked,
            };
            (row.position, Box::new(found))
        });
        Ok(by_position(batch.len(), found))
    }

    fn row(&self) -> Option<(&'static str, String)> {
        Some(("oauth_storage.client", self.0.clone()))
    }
}

/// Writes the time of a client's last use, at most once a day.
struct MarkClientUsed(String);

impl Statement for MarkClientUsed {
    type Outcome = ();
    const NAME: &'static str = "mark_client_used";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let client_id: Vec<&str> = batch.iter().map(|mark| mark.0.as_str()).collect();
        sqlx::query_file!("src/postgres/sql/mark_clients_used.sql", &client_id as _)
            .execute(connection)
            .await?;
        Ok(vec![(); batch.len()])
    }

    fn key(&self) -> Option<u128> {
        Some(Secret::new(self.0.as_str()).digest().halves().0.as_u128())
    }
}
