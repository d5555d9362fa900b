//! Clients.

use std::sync::Arc;

use oauth_as::{Client, ClientAuth, ClientId, RevocationWindow, StorageError};
use uuid::Uuid;

use crate::error::{database, run};
use crate::seal::{Keys, Purpose};
use crate::time::nanoseconds;
use crate::{OauthAsStorage, digest, document, scope};

/// A client as its columns.
struct Row {
    client: Uuid,
    document: Vec<u8>,
    sealed: Option<Vec<u8>>,
}

impl Row {
    fn new(keys: &Keys, mut client: Client) -> Result<Self, StorageError> {
        let key = digest::client(&client.client_id);
        let auth = std::mem::replace(&mut client.auth, ClientAuth::Public);
        let sealed = match auth {
            ClientAuth::Public => None,
            // A secret in plain text, the key of HMAC assertions, or a hash, which of a short secret could
            // be guessed.
            auth => Some(keys.seal(Purpose::Client, "", key, &auth)?),
        };
        Ok(Self { client: key, document: document::write(&client)?, sealed })
    }

    fn read(&self, keys: &Keys) -> Result<Client, StorageError> {
        let mut client: Client = document::read(&self.document)?;
        if let Some(sealed) = &self.sealed {
            client.auth = keys.open(Purpose::Client, "", self.client, sealed)?;
        }
        Ok(client)
    }
}

impl OauthAsStorage {
    async fn client_row(&self, client: Uuid) -> Result<Option<Row>, StorageError> {
        let found =
            run!(sqlx::query_file!("src/sql/find_client.sql", client).fetch_optional(&self.pool))
                .map_err(database)?;
        Ok(found.map(|row| Row { client, document: row.document, sealed: row.sealed }))
    }

    pub(crate) async fn find_client(
        &self,
        client_id: &ClientId,
    ) -> Result<Option<Arc<Client>>, StorageError> {
        let row = self.client_row(digest::client(client_id)).await?;
        row.map(|row| row.read(&self.keys).map(Arc::new)).transpose()
    }

    pub(crate) async fn store_client(&self, client: Client) -> Result<(), StorageError> {
        let Row { client, document, sealed } = Row::new(&self.keys, client)?;
        run!(
            sqlx::query_file!("src/sql/put_client.sql", client, document, sealed.as_deref())
                .execute(&self.pool)
        )
        .map_err(database)?;
        Ok(())
    }

    /// Compares here, because a field that a later version adds changes the document and not the record.
    /// The statement then changes the row only if it is still the one that was compared.
    pub(crate) async fn swap_client(
        &self,
        expected: &Client,
        updated: Client,
    ) -> Result<bool, StorageError> {
        let updated = Row::new(&self.keys, updated)?;
        while let Some(found) = self.client_row(updated.client).await? {
            if found.read(&self.keys)? != *expected {
                return Ok(false);
            }
            let swapped = run!(
                sqlx::query_file!(
                    "src/sql/swap_client.sql",
                    updated.client,
                    updated.document,
                    updated.sealed.as_deref(),
                    found.document,
                    found.sealed.as_deref(),
                )
                .execute(&self.pool)
            )
            .map_err(database)?;
            if swapped.rows_affected() == 1 {
                return Ok(true);
            }
            // Somebody else has written it meanwhile, perhaps the same record.
        }
        Ok(false)
    }

    pub(crate) async fn delete_client_and_tokens(
        &self,
        client_id: &ClientId,
        window: RevocationWindow,
    ) -> Result<bool, StorageError> {
        scope::refuse_empty("client_id", client_id.as_str())?;
        run!(
            sqlx::query_scalar!(
                r#"SELECT oauth_as.delete_client($1, $2, $3) AS "existed!""#,
                digest::client(client_id),
                nanoseconds(window.recorded_at),
                nanoseconds(window.until),
            )
            .fetch_one(&self.pool)
        )
        .map_err(database)
    }
}
