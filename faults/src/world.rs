//! The clients and the user that exist before the load begins, and the calls that belong to no grant.

use std::sync::Arc;
use std::time::Duration;

use oauth_storage::client::{ClientSecret, ClientSecretRotation};
use oauth_storage::postgres::NewUser;
use oauth_storage::token::NewToken;
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, ClientStorage as _, GrantStorage as _, NewClient,
    PgStorage, RequestContext, Scope, Secret, Settings, TokenPair, TokenStorage as _,
    UserStorage as _,
};
use uuid::Uuid;

use crate::caller::Caller;
use crate::error::Result;
use crate::ledger::ClientHistory;
use crate::outcome::Outcome;
use crate::random::chance;

pub(crate) const URI: &str = "https://client.example/cb";

/// The lifetime of the codes of the load: longer than any round of it.
pub(crate) const CODE_LIFETIME: Duration = Duration::from_mins(10);

const USERNAME: &str = "alice";
const PASSWORD: &str = "wonderland";

pub(crate) struct World {
    clients: Vec<(String, Secret)>,
    pub(crate) scope: Scope,
}

impl World {
    pub(crate) async fn new(storage: &PgStorage) -> Result<Arc<Self>> {
        let scope: Scope = "openid profile".parse()?;
        let mut clients = Vec::new();
        for _ in 0..8 {
            let metadata = ClientMetadata::authorization_code([URI]).with_scope(scope.clone());
            let registered = storage.register_client(NewClient::new(metadata)).await?;
            let secret = registered.client_secret.ok_or("a client without a secret")?;
            clients.push((registered.client.client_id, secret));
        }
        let user = NewUser::new(USERNAME, USERNAME, Secret::new(PASSWORD));
        // Another process may have created the user.
        let _ = storage.password_users().create(user).await;
        Ok(Arc::new(Self { clients, scope }))
    }

    pub(crate) fn any_client(&self) -> &str {
        &self.clients[fastrand::usize(0..self.clients.len())].0
    }

    /// Calls of an endpoint beside issuing: client authentication, sign-in, registration, purge.
    pub(crate) async fn errands(&self, caller: &Caller) -> Result<()> {
        let storage = &caller.storage;
        let request = RequestContext::default();
        let contradiction = |what: &str| caller.ledger.tally.contradiction(|| what.to_owned());

        let (client_id, secret) = &self.clients[fastrand::usize(0..self.clients.len())];
        let secret = chance(50).then_some(secret);
        let got = caller.call(storage.get_client(&request, client_id, secret)).await;
        if got.value.is_some_and(|client| client.is_none()) {
            contradiction("a registered client is not found");
        }
        if chance(10) {
            // Rows for the purge.
            let settings = Settings::default()
                .with_access_token_expires_in(Duration::from_millis(1))
                .with_refresh_token_expires_in(Duration::from_millis(1));
            let new = NewToken::new(client_id, self.scope.clone(), TokenPair::generate()?);
            let request = RequestContext::default().with_settings(settings);
            caller.call(storage.create_token(&request, new)).await;
        }
        if chance(2) {
            caller.call(storage.purge_expired(1000)).await;
        }
        if chance(1) {
            let right = chance(50);
            let password = Secret::from(if right { PASSWORD } else { "looking glass" });
            let user = caller.call(storage.authenticate(USERNAME, &password)).await.value;
            if user.is_some_and(|user| user.is_some() != right) {
                contradiction("a user's password has changed");
            }
        }
        if chance(3) {
            let mut history = ClientHistory::new(format!("client-{}", Uuid::now_v7()));
            let walked = self.walk_client(caller, &mut history).await;
            caller.ledger.close_client(history);
            walked?;
        }
        Ok(())
    }

    /// Registers a client, changes it and deletes it.
    async fn walk_client(&self, caller: &Caller, history: &mut ClientHistory) -> Result<()> {
        let storage = &caller.storage;
        let metadata = ClientMetadata::authorization_code([URI]).with_scope(self.scope.clone());
        let new = NewClient::new(metadata).with_client_id(&history.client_id);
        let reply = caller.call(storage.register_client(new)).await;
        history.registered = reply.outcome;
        if reply.outcome == Outcome::Refused {
            return Ok(());
        }
        history.secret = reply.value.and_then(|registered| registered.client_secret);
        if chance(50) {
            let rotation = ClientSecretRotation::new()
                .with_overlap(Duration::from_mins(1))
                .with_client_secret(ClientSecret::Generated);
            let rotate = storage.rotate_client_secret(&history.client_id, rotation);
            let reply = caller.call(rotate).await;
            match reply.outcome {
                Outcome::Acknowledged => {
                    history.secret = reply.value.flatten().and_then(|r| r.client_secret);
                }
                // The old secret works during the overlap. After it only a read can decide.
                Outcome::Unknown => history.secret = None,
                Outcome::Refused => {}
            }
        }
        if chance(30) {
            let disabled = chance(50);
            let outcome = caller
                .call(storage.set_client_disabled(&history.client_id, disabled))
                .await
                .outcome;
            if outcome != Outcome::Refused {
                history.disabled = (disabled, outcome.min(history.registered));
            }
        }
        if let Some(secret) = &history.secret
            && history.disabled.1 != Outcome::Unknown
        {
            let request = RequestContext::default();
            let get = storage.get_client(&request, &history.client_id, Some(secret));
            let found = caller.call(get).await.value;
            if found.is_some_and(|found| found.is_none() != history.disabled.0) {
                caller.ledger.tally.contradiction(|| {
                    format!(
                        "client {}: its secret or state is not the acknowledged one",
                        history.client_id
                    )
                });
            }
        }
        if chance(50) {
            let outcome = caller.call(storage.delete_client(&history.client_id)).await.outcome;
            // A deletion does not delete a client that is registered after it.
            history.deleted = Some(outcome.min(history.registered));
        }
        Ok(())
    }
}
