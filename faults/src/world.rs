//! What is there before the load begins: clients, and a user with a password.

use std::sync::Arc;
use std::time::Duration;

use oauth_storage::{
    ClientMetadata, ClientRegistry as _, ClientSecret, ClientStorage as _, FormParameters,
    GrantStorage as _, NewClient, NewToken, NewUser, PgStorage, Request, RotateClientSecret, Scope,
    Secret, Settings, TokenStorage as _, UserStorage as _,
};
use uuid::Uuid;

use crate::Result;
use crate::caller::Caller;
use crate::ledger::{ClientStory, Told};
use crate::walk::chance;

pub(crate) const URI: &str = "https://client.example/cb";
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
        let user = NewUser {
            username: USERNAME.into(),
            subject: USERNAME.into(),
            password: Secret::new(PASSWORD),
        };
        // Another process may have made it.
        let _ = storage.password_users().create(user).await;
        Ok(Arc::new(Self { clients, scope }))
    }

    pub(crate) fn any_client(&self) -> &str {
        &self.clients[fastrand::usize(0..self.clients.len())].0
    }

    /// What an endpoint does beside issuing: authenticating clients and users, registering, purging.
    pub(crate) async fn errands(&self, caller: &Caller) -> Result<()> {
        let storage = &caller.storage;
        let request = Request::default();
        let contradiction = |what: &str| caller.ledger.tally.contradiction(|| what.to_owned());

        let (client_id, secret) = &self.clients[fastrand::usize(0..self.clients.len())];
        let secret = chance(50).then_some(secret);
        let got = caller.call(storage.get_client(&request, client_id, secret)).await;
        if got.value.is_some_and(|client| client.is_none()) {
            contradiction("a registered client is not found");
        }
        if chance(10) {
            // For the purge to find.
            let settings = Settings {
                access_token_expires_in: Duration::from_millis(1),
                ..Settings::default()
            };
            let new = NewToken::new(client_id, self.scope.clone(), Secret::generate()?);
            let request = Request::default().with_settings(settings);
            caller.call(storage.create_token(&request, new)).await;
        }
        if chance(2) {
            caller.call(storage.purge_expired(1000)).await;
        }
        if chance(1) {
            let right = chance(50);
            let password = if right { PASSWORD } else { "looking glass" };
            let form = FormParameters {
                username: Some(USERNAME.into()),
                password: Some(password.into()),
                ..FormParameters::default()
            };
            let request = Request { form, ..Request::default() };
            let user = caller.call(storage.authenticate(&request)).await.value;
            if user.is_some_and(|user| user.is_some() != right) {
                contradiction("a user's password is not what it was");
            }
        }
        if chance(3) {
            let mut story = ClientStory {
                client_id: format!("client-{}", Uuid::now_v7()),
                registered: Told::Refused,
                secret: None,
                disabled: (false, Told::Refused),
                deleted: None,
            };
            let lived = self.client_life(caller, &mut story).await;
            caller.ledger.close_client(story);
            lived?;
        }
        Ok(())
    }

    async fn client_life(&self, caller: &Caller, story: &mut ClientStory) -> Result<()> {
        let storage = &caller.storage;
        let metadata = ClientMetadata::authorization_code([URI]).with_scope(self.scope.clone());
        let new = NewClient::new(metadata).with_client_id(&story.client_id);
        let reply = caller.call(storage.register_client(new)).await;
        story.registered = reply.told;
        if reply.told == Told::Refused {
            return Ok(());
        }
        story.secret = reply.value.and_then(|registered| registered.client_secret);
        if chance(50) {
            let rotation = RotateClientSecret {
                client_secret: ClientSecret::Generated,
                ..RotateClientSecret::with_overlap(Duration::from_mins(1))
            };
            let rotate = storage.rotate_client_secret(&story.client_id, rotation);
            let reply = caller.call(rotate).await;
            match reply.told {
                Told::Acknowledged => {
                    story.secret = reply.value.flatten().and_then(|r| r.client_secret);
                }
                // The old one is good for the overlap; after that only a look would tell.
                Told::Unknown => story.secret = None,
                Told::Refused => {}
            }
        }
        if chance(30) {
            let disabled = chance(50);
            let told =
                caller.call(storage.set_client_disabled(&story.client_id, disabled)).await.told;
            if told != Told::Refused {
                story.disabled = (disabled, told.min(story.registered));
            }
        }
        if let Some(secret) = &story.secret
            && story.disabled.1 != Told::Unknown
        {
            let request = Request::default();
            let get = storage.get_client(&request, &story.client_id, Some(secret));
            let found = caller.call(get).await.value;
            if found.is_some_and(|found| found.is_none() != story.disabled.0) {
                caller.ledger.tally.contradiction(|| {
                    format!("client {}: its secret or state is not what was told", story.client_id)
                });
            }
        }
        if chance(50) {
            let told = caller.call(storage.delete_client(&story.client_id)).await.told;
            // What is registered afterwards is not deleted by what came before.
            story.deleted = Some(told.min(story.registered));
        }
        Ok(())
    }
}
