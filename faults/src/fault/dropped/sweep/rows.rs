//! The rows that a method needs before it is called.

use std::sync::Arc;
use std::time::Duration;

use oauth_storage::token::NewToken;
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, NewAuthorizationCode,
    NewClient, RequestContext, Secret, Settings, TokenPair, TokenStorage as _, User,
};
use uuid::Uuid;

use crate::caller::Caller;
use crate::error::Result;
use crate::ledger::{ClientHistory, Code, History, Origin, Pair};
use crate::outcome::Outcome;
use crate::scene::Scene;
use crate::world::{CODE_LIFETIME, URI, World};

/// One caller that drops its calls, and the values that they have in common.
pub(crate) struct Sweep {
    pub(super) caller: Caller,
    pub(super) world: Arc<World>,
    pub(super) url: String,
    pub(super) subject: String,
    pub(super) request: RequestContext,
}

/// A stored grant, and the secrets of its code or its pair.
pub(super) struct StoredGrant {
    pub(super) history: History,
    pub(super) request: RequestContext,
    pub(super) code: Secret,
    pub(super) tokens: TokenPair,
}

impl Sweep {
    pub(crate) fn new(scene: &Scene) -> Self {
        let subject = format!("swept-{}", Uuid::now_v7());
        let settings = Settings::default().with_authorization_code_expires_in(CODE_LIFETIME);
        let settings = settings.with_refresh_token_grace(Duration::ZERO);
        Self {
            caller: scene.caller.clone(),
            world: Arc::clone(&scene.world),
            url: scene.url.clone(),
            request: RequestContext::for_user(User::new(&subject)).with_settings(settings),
            subject,
        }
    }

    /// A stored pair, of a subject of its own.
    pub(super) async fn with_pair(&self) -> Result<StoredGrant> {
        let mut history = History::new(self.world.any_client(), true);
        let subject = User::new(format!("swept-{}", Uuid::now_v7()));
        let request = self.request.clone().with_user(subject);
        let tokens = TokenPair::generate()?;
        let scope = self.world.scope.clone();
        let new = NewToken::new(&history.client_id, scope, tokens.clone());
        history.grant_id = tokens.grant_id();
        let reply = self.caller.call(self.caller.storage.create_token(&request, new)).await;
        let outcome = served(reply.outcome)?;
        history.pairs.push(Pair::new(&tokens, Origin::Nothing, outcome));
        Ok(StoredGrant { history, request, tokens, code: Secret::generate()? })
    }

    /// A stored code, and tokens for it.
    pub(super) async fn with_code(&self) -> Result<StoredGrant> {
        let mut history = History::new(self.world.any_client(), true);
        let code = Secret::generate()?;
        let new = self.new_code(&history, &code);
        let create = self.caller.storage.create_authorization_code(&self.request, new);
        let created = served(self.caller.call(create).await.outcome)?;
        history.grant_id = code.grant_id();
        history.code = Some(Code { digest: code.digest(), created, deleted: None });
        let tokens = TokenPair::generate_for(code.grant_id().unwrap_or_default())?;
        Ok(StoredGrant { history, request: self.request.clone(), code, tokens })
    }

    pub(super) fn new_code(&self, history: &History, code: &Secret) -> NewAuthorizationCode {
        let scope = self.world.scope.clone();
        NewAuthorizationCode::new(&history.client_id, scope, URI, code.clone())
    }

    /// A registered client.
    pub(super) async fn with_client(&self) -> Result<(ClientHistory, Option<Secret>)> {
        let mut history = ClientHistory::new(format!("swept-{}", Uuid::now_v7()));
        let reply =
            self.caller.call(self.caller.storage.register_client(new_client(&history))).await;
        history.registered = served(reply.outcome)?;
        let secret = reply.value.and_then(|registered| registered.client_secret);
        Ok((history, secret))
    }
}

/// A call that is not dropped must succeed: the server has no fault.
pub(super) fn served(outcome: Outcome) -> Result<Outcome> {
    match outcome {
        Outcome::Acknowledged => Ok(outcome),
        _ => Err(format!("a call between the dropped ones was {outcome:?}").into()),
    }
}

pub(super) fn new_client(history: &ClientHistory) -> NewClient {
    NewClient::new(ClientMetadata::authorization_code([URI])).with_client_id(&history.client_id)
}
