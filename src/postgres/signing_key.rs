//! [`SigningKeyStorage`] for PostgreSQL, on pooled connections.

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::id_token::SigningAlgorithm;
use crate::postgres::PgStorage;
use crate::postgres::batching::Connections;
use crate::postgres::error::Effect;
use crate::postgres::telemetry::observe;
use crate::settings::micros;
use crate::signing_key::{
    KeyRotationOutcome, KeySchedule, SealedSigningKey, SigningKeyState, SigningKeyStorage,
    StoredSigningKey, check_issuer,
};

#[async_trait]
impl<C: Connections> SigningKeyStorage for PgStorage<C> {
    async fn list_signing_keys(&self, issuer: &str) -> Result<Vec<StoredSigningKey>> {
        observe!(self, list_signing_keys on signing_key, issuer)
            .run(async {
                check_issuer(issuer)?;
                let mut call = self.connections.begin(Effect::Read).await?;
                let rows = call
                    .statement(|connection| {
                        sqlx::query_file!("src/postgres/sql/list_signing_keys.sql", issuer)
                            .fetch_all(connection)
                    })
                    .await?;
                let stored = rows.into_iter().map(|row| {
                    let (algorithm, state) = (row.alg.parse().ok(), state(&row.state));
                    let (Some(algorithm), Some(state)) = (algorithm, state) else {
                        let column = if state.is_none() { "state" } else { "alg" };
                        return Err(corrupt(column, row.kid));
                    };
                    Ok(StoredSigningKey {
                        key: SealedSigningKey {
                            issuer: issuer.to_owned(),
                            kid: row.kid,
                            algorithm,
                            encryption_key_id: row.encryption_key_id,
                            ciphertext: row.ciphertext,
                        },
                        state,
                        created_at: row.created_at,
                        activated_at: row.activated_at,
                        retired_at: row.retired_at,
                        expires_at: row.expires_at,
                    })
                });
                stored.collect()
            })
            .await
    }

    async fn add_signing_key(&self, key: SealedSigningKey) -> Result<KeyRotationOutcome> {
        observe!(self, add_signing_key on signing_key, issuer = key.issuer, kid = key.kid)
            .run(async {
                key.check()?;
                let mut call = self.connections.begin(Effect::Write).await?;
                let added = call
                    .statement(|connection| {
                        sqlx::query_file_scalar!(
                            "src/postgres/sql/add_signing_key.sql",
                            key.issuer,
                            key.kid,
                            key.algorithm.as_str(),
                            key.encryption_key_id,
                            key.ciphertext,
                        )
                        .fetch_optional(connection)
                    })
                    .await?;
                Ok(match added {
                    Some(true) => KeyRotationOutcome::Created,
                    Some(false) => KeyRotationOutcome::Announced,
                    None => KeyRotationOutcome::NotDue { due_at: None },
                })
            })
            .await
    }

    async fn rotate_signing_keys(
        &self,
        issuer: &str,
        algorithm: SigningAlgorithm,
        schedule: KeySchedule,
    ) -> Result<KeyRotationOutcome> {
        observe!(self, rotate_signing_keys on signing_key, issuer)
            .run(async {
                check_issuer(issuer)?;
                schedule.check()?;
                let mut call = self.connections.begin(Effect::Write).await?;
                let row = call
                    .statement(|connection| {
                        sqlx::query_file!(
                            "src/postgres/sql/rotate_signing_keys.sql",
                            issuer,
                            algorithm.as_str(),
                            micros(schedule.period),
                            micros(schedule.announcement),
                            micros(schedule.retention),
                        )
                        .fetch_one(connection)
                    })
                    .await?;
                Ok(if row.rotated {
                    KeyRotationOutcome::Rotated
                } else {
                    KeyRotationOutcome::NotDue { due_at: row.due_at }
                })
            })
            .await
    }

    async fn revoke_signing_keys(&self, replacement: SealedSigningKey) -> Result<u64> {
        observe!(self, revoke_signing_keys on signing_key, issuer = replacement.issuer)
            .run(async {
                replacement.check()?;
                let mut call = self.connections.begin(Effect::Write).await?;
                let revoked = call
                    .statement(|connection| {
                        sqlx::query_file_scalar!(
                            "src/postgres/sql/revoke_signing_keys.sql",
                            replacement.issuer,
                            replacement.kid,
                            replacement.algorithm.as_str(),
                            replacement.encryption_key_id,
                            replacement.ciphertext,
                        )
                        .fetch_one(connection)
                    })
                    .await?;
                Ok(u64::try_from(revoked).unwrap_or_default())
            })
            .await
    }

    async fn reencrypt_signing_key(&self, key: SealedSigningKey, from: &str) -> Result<bool> {
        observe!(self, reencrypt_signing_key on signing_key, issuer = key.issuer, kid = key.kid)
            .run(async {
                key.check()?;
                let mut call = self.connections.begin(Effect::Write).await?;
                let done = call
                    .statement(|connection| {
                        sqlx::query_file!(
                            "src/postgres/sql/reencrypt_signing_key.sql",
                            key.issuer,
                            key.kid,
                            from,
                            key.encryption_key_id,
                            key.ciphertext,
                        )
                        .execute(connection)
                    })
                    .await?;
                Ok(done.rows_affected() > 0)
            })
            .await
    }
}

fn state(name: &str) -> Option<SigningKeyState> {
    match name {
        "n" => Some(SigningKeyState::Next),
        "a" => Some(SigningKeyState::Active),
        "r" => Some(SigningKeyState::Retired),
        _ => None,
    }
}

fn corrupt(column: &'static str, kid: String) -> Error {
    let message = "this version does not know the value".to_owned();
    Error::Corrupt { table: "oauth_storage.signing_key", column, row: kid, message }
}
