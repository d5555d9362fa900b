use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::model::Grant;
use crate::model::user::check_subject;
use crate::postgres::PgStorage;
use crate::postgres::error::Effect;
use crate::postgres::executor::Connections;
use crate::storage::check_limit;

struct GrantRow {
    grant_id: Uuid,
    client_id: String,
    scope: String,
    granted_at: DateTime<Utc>,
    last_rotated_at: Option<DateTime<Utc>>,
    expires_at: DateTime<Utc>,
}

impl<C: Connections> PgStorage<C> {
    pub(super) async fn list_live_grants(
        &self,
        subject: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Grant>> {
        let limit = check_limit(limit)?;
        if check_subject(subject).is_err() {
            return Ok(Vec::new());
        }
        let mut call = self.connections.begin(Effect::Read).await?;
        // A refresh token ('r') has the whole scope of its grant, an access token perhaps a
        // narrower one. The first refresh token of a grant ends with the last, so it is there as
        // long as the grant lives and says when that began.
        let rows = call
            .statement(|connection| {
                sqlx::query_as!(
                    GrantRow,
                    r#"
                    WITH token AS (
                        SELECT
                            grant_id, client_id, scope, kind, issued_at, expires_at,
                            NOT revoked AND rotated_at IS NULL
                                AND expires_at > statement_timestamp() AS live
                        FROM oauth_storage.token
                        WHERE hashtext(subject) = hashtext($1)
                            AND subject = $1
                            AND grant_id > $2
                    )
                    SELECT
                        grant_id AS "grant_id!",
                        min(client_id) AS "client_id!",
                        (array_agg(scope ORDER BY kind DESC, issued_at) FILTER (WHERE live))[1]
                            AS "scope!",
                        min(issued_at) AS "granted_at!",
                        nullif(max(issued_at) FILTER (WHERE live), min(issued_at))
                            AS last_rotated_at,
                        max(expires_at) FILTER (WHERE live) AS "expires_at!"
                    FROM token
                    GROUP BY grant_id
                    HAVING bool_or(live)
                    ORDER BY grant_id
                    LIMIT $3
                    "#,
                    subject,
                    // No grant has the nil id.
                    after.unwrap_or_default(),
                    limit,
                )
                .fetch_all(connection)
            })
            .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Grant {
                    grant_id: row.grant_id,
                    client_id: row.client_id,
                    subject: subject.to_owned(),
                    scope: row.scope.parse().map_err(|error: Error| Error::Corrupt {
                        table: "oauth_storage.token",
                        column: "scope",
                        row: row.grant_id.to_string(),
                        message: error.to_string(),
                    })?,
                    granted_at: row.granted_at,
                    last_rotated_at: row.last_rotated_at,
                    expires_at: row.expires_at,
                })
            })
            .collect()
    }
}
