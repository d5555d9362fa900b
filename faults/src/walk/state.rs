//! The state of a walk.

use std::sync::Arc;
use std::time::Duration;

use oauth_storage::{RequestContext, Scope, Secret, Settings, TokenPair, User};
use uuid::Uuid;

use crate::caller::Caller;
use crate::error::Result;
use crate::ledger::{History, Origin, Pair};
use crate::outcome::Outcome;
use crate::random::{chance, unnamed_secret};
use crate::world::{CODE_LIFETIME, World};

pub(crate) struct Walk {
    pub(super) caller: Caller,
    pub(super) world: Arc<World>,
    pub(super) history: History,
    pub(super) subject: String,
    pub(super) request: RequestContext,
    pub(super) verifier: Secret,
    pub(super) code: Secret,
    /// The secrets of the pairs of the history.
    pub(super) tokens: Vec<TokenPair>,
}

impl Walk {
    pub(crate) fn new(caller: Caller, world: Arc<World>) -> Result<Self> {
        let strict = chance(75);
        let grace = if strict { Duration::ZERO } else { Duration::from_secs(10) };
        let subject = format!("user-{}", Uuid::now_v7());
        let settings = Settings::default()
            .with_refresh_token_grace(grace)
            .with_refresh_token_idle_expires_in(chance(30).then_some(Duration::from_hours(24)))
            .with_authorization_code_expires_in(CODE_LIFETIME);
        let request = RequestContext::for_user(User::new(&subject)).with_settings(settings);
        Ok(Self {
            history: History::new(world.any_client(), strict),
            caller,
            world,
            subject,
            request,
            verifier: Secret::generate()?,
            code: if chance(80) { Secret::generate()? } else { unnamed_secret() },
            tokens: Vec::new(),
        })
    }

    pub(super) fn scope(&self) -> Scope {
        self.world.scope.clone()
    }

    pub(super) fn keep(&mut self, tokens: TokenPair, origin: Origin, issued: Outcome) {
        self.history.pairs.push(Pair::new(&tokens, origin, issued));
        self.tokens.push(tokens);
    }

    pub(super) fn contradiction(&self, what: impl FnOnce() -> String) {
        let grant = self.history.grant_id;
        self.caller.ledger.tally.contradiction(|| format!("grant {grant:?}: {}", what()));
    }
}
