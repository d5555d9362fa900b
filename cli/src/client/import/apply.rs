//! One line of an import.

use std::sync::{Mutex, PoisonError};

use oauth_storage::client::{ClientSecretRotation, RegisteredClient};
use oauth_storage::error::Advice;
use oauth_storage::{ClientRegistry as _, NewClient, PgStorage};

use super::super::declaration::Declaration;
use super::super::not_found;
use super::super::secret_file::SecretFile;
use crate::error::{Error, Result};
use crate::output;

/// The effect of a line.
pub(super) enum Outcome {
    Created,
    Updated,
    Unchanged,
    Expired,
}

/// The reason why a line failed.
pub(super) struct Failure {
    pub(super) error: Error,
    /// The client exists, or may exist, with no secret or with one that was not written. Another import finds the
    /// metadata of the line and makes none.
    pub(super) lacks_secret: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, lacks_secret: false }
    }
}

impl From<oauth_storage::Error> for Failure {
    fn from(error: oauth_storage::Error) -> Self {
        Error::from(error).into()
    }
}

/// Registers or changes a client. A secret is written before the next call, which can fail.
pub(super) async fn apply(
    storage: &PgStorage,
    declared: Declaration,
    secrets: Option<&Mutex<SecretFile>>,
) -> Result<Outcome, Failure> {
    let expires_in = match declared.expires_at.map(output::until) {
        Some(None) => return Ok(Outcome::Expired),
        Some(rest) => rest,
        None => None,
    };
    let client_id = declared.client_id.clone().unwrap_or_default();
    let before = storage.read_client(&client_id).await?;
    if before.as_ref().is_some_and(|client| client.deleted_at.is_some()) {
        let remedy = format!("finish that with oauth-storage client delete {client_id}");
        return Err(Error::Failed(format!("it is being deleted; {remedy}")).into());
    }
    let uses_secret = declared.metadata.token_endpoint_auth_method.uses_secret();
    let new = NewClient::new(declared.metadata.clone())
        .with_client_id(&client_id)
        .with_expires_in(expires_in);
    let had_secret = before
        .as_ref()
        .is_some_and(|client| client.metadata.token_endpoint_auth_method.uses_secret());
    let generates = uses_secret && !had_secret && declared.client_secret.is_none();
    if generates && secrets.is_none() {
        return Err(Error::Usage(
            "a secret is generated for it; name a file for it with --secret-file".into(),
        )
        .into());
    }
    // The statement may have been executed, and then no other run makes a secret.
    let unknown = |error: oauth_storage::Error| Failure {
        lacks_secret: generates && error.advice() == Advice::CheckOutcome,
        error: error.into(),
    };
    let outcome = match (&before, declared.client_secret) {
        (None, None) => {
            let registered = storage.register_client(new).await.map_err(unknown)?;
            save(&registered, secrets)?;
            Outcome::Created
        }
        (Some(before), None) if before.metadata == declared.metadata => Outcome::Unchanged,
        (Some(_), None) => {
            let updated = storage.update_client(&client_id, declared.metadata).await;
            updated.map_err(unknown)?.ok_or_else(|| not_found(&client_id))?;
            if generates {
                let rotation = ClientSecretRotation::new();
                let rotated = storage.rotate_client_secret(&client_id, rotation).await;
                let rotated =
                    rotated.map_err(|error| Failure { error: error.into(), lacks_secret: true })?;
                save(&rotated.ok_or_else(|| not_found(&client_id))?, secrets)?;
            }
            Outcome::Updated
        }
        (before, Some(secret)) => {
            let after = storage.ensure_client(new.with_client_secret(secret)).await?;
            match before {
                None => Outcome::Created,
                Some(before) if before.updated_at == after.updated_at => Outcome::Unchanged,
                Some(_) => Outcome::Updated,
            }
        }
    };
    let is_disabled = before.is_some_and(|client| client.disabled_at.is_some());
    if declared.is_disabled && !is_disabled {
        storage.set_client_disabled(&client_id, true).await?;
        if matches!(outcome, Outcome::Unchanged) {
            return Ok(Outcome::Updated);
        }
    }
    Ok(outcome)
}

/// Writes the secret of a client to the file, if one was generated.
fn save(registered: &RegisteredClient, secrets: Option<&Mutex<SecretFile>>) -> Result<(), Failure> {
    let (Some(secret), Some(file)) = (&registered.client_secret, secrets) else { return Ok(()) };
    let line = serde_json::json!({
        "client_id": registered.client.client_id, "client_secret": secret.expose(),
    });
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.write(&line.to_string()).map_err(|error| Failure { error, lacks_secret: true })
}
