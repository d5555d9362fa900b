//! One grant, walked from its beginning to its end, each answer held against the ones before.

use std::sync::Arc;
use std::time::Duration;

use oauth_storage::{
    AuthorizationCodeStorage as _, CodeChallenge, GrantStorage as _, NewAuthorizationCode,
    NewToken, Redeem, Redeemed, Request, Rotate, Rotated, Scope, Secret, Settings, TokenRef,
    TokenStorage as _, User,
};
use uuid::Uuid;

use crate::Result;
use crate::caller::{Caller, Reply};
use crate::ledger::{Code, Fate, Kind, Origin, Pair, Story, Told};
use crate::world::{URI, World};

/// Longer than any round of the load.
pub(crate) const CODE_LIFETIME: Duration = Duration::from_mins(10);

pub(crate) struct Walk {
    caller: Caller,
    world: Arc<World>,
    pub(crate) story: Story,
    subject: String,
    request: Request,
    verifier: Secret,
    code: Secret,
    /// The secrets of the story's pairs.
    tokens: Vec<Tokens>,
}

#[derive(Clone)]
pub(crate) struct Tokens {
    pub(crate) access: Secret,
    pub(crate) refresh: Secret,
}

impl Tokens {
    pub(crate) fn generate() -> Result<Self> {
        Ok(Self { access: Secret::generate()?, refresh: Secret::generate()? })
    }
}

pub(crate) fn chance(percent: u32) -> bool {
    fastrand::u32(0..100) < percent
}

impl Walk {
    pub(crate) fn new(caller: Caller, world: Arc<World>) -> Result<Self> {
        let strict = chance(75);
        let grace = if strict { Duration::ZERO } else { Duration::from_secs(10) };
        let subject = format!("user-{}", Uuid::now_v7());
        let settings = Settings {
            refresh_token_grace: grace,
            authorization_code_expires_in: CODE_LIFETIME,
            ..Settings::default()
        };
        let request = Request::for_user(User::new(&subject)).with_settings(settings);
        Ok(Self {
            story: Story::new(world.any_client(), strict),
            caller,
            world,
            subject,
            request,
            verifier: Secret::generate()?,
            code: Secret::generate()?,
            tokens: Vec::new(),
        })
    }

    /// Walks it; the story is in the ledger afterwards.
    pub(crate) async fn run(mut self) -> Result<()> {
        let walked = self.steps().await;
        self.caller.ledger.close(self.story);
        walked
    }

    async fn steps(&mut self) -> Result<()> {
        if chance(40) {
            self.create().await?;
        } else if !self.authorize().await? {
            return Ok(());
        }
        for _ in 0..fastrand::usize(1..4) {
            self.look().await;
        }
        for _ in 0..fastrand::usize(0..3) {
            self.rotate_last(if chance(15) { 2 } else { 1 }).await?;
            self.look().await;
        }
        self.end().await;
        self.look().await;
        if chance(20) {
            self.rotate_last(1).await?;
        }
        if chance(10) {
            self.list().await;
        }
        Ok(())
    }

    fn scope(&self) -> Scope {
        self.world.scope.clone()
    }

    fn keep(&mut self, tokens: Tokens, origin: Origin, issued: Told) {
        self.story.pairs.push(Pair {
            access: tokens.access.digest(),
            refresh: Some(tokens.refresh.digest()),
            origin,
            issued,
            ended: None,
        });
        self.tokens.push(tokens);
    }

    fn contradiction(&self, what: impl FnOnce() -> String) {
        let grant = self.story.grant_id;
        self.caller.ledger.tally.contradiction(|| format!("grant {grant:?}: {}", what()));
    }

    async fn create(&mut self) -> Result<()> {
        let tokens = Tokens::generate()?;
        let new = NewToken::new(&self.story.client_id, self.scope(), tokens.access.clone())
            .with_refresh_token(tokens.refresh.clone());
        self.story.grant_id = Some(new.grant_id);
        let reply = self.caller.call(self.caller.storage.create_token(&self.request, new)).await;
        self.keep(tokens, Origin::Nothing, reply.told);
        Ok(())
    }

    /// The code flow up to the first tokens; false if there is nothing to go on with.
    async fn authorize(&mut self) -> Result<bool> {
        let mut new =
            NewAuthorizationCode::new(&self.story.client_id, self.scope(), URI, self.code.clone());
        new.code_challenge = Some(CodeChallenge::s256(&self.verifier));
        let storage = &self.caller.storage;
        let create = storage.create_authorization_code(&self.request, new);
        let reply = self.caller.call(create).await;
        self.story.grant_id = reply.value.map(|code| code.grant_id);
        let digest = self.code.digest();
        self.story.code = Some(Code { digest, created: reply.told, deleted: None });
        if reply.told == Told::Refused {
            return Ok(false);
        }
        if chance(10) {
            self.look_at_code().await;
        }
        if chance(5) {
            self.delete_code().await;
            return Ok(false);
        }
        self.redeem(if chance(20) { 2 } else { 1 }).await?;
        // A client that was not told makes its request again; and now and then one does that
        // should not.
        let issued = self.story.issued_for(Origin::Code) > 0;
        if chance(if issued { 5 } else { 50 }) {
            self.redeem(1).await?;
        }
        Ok(!self.story.pairs.is_empty())
    }

    async fn look_at_code(&self) {
        let get = self.caller.storage.get_authorization_code(
            &self.request,
            &self.story.client_id,
            &self.code,
        );
        let reply = self.caller.call(get).await;
        let acknowledged =
            self.story.code.as_ref().is_some_and(|code| code.created == Told::Acknowledged);
        if acknowledged && reply.value.is_some_and(|found| found.is_none()) {
            self.contradiction(|| "an acknowledged code is not found".into());
        }
    }

    async fn delete_code(&mut self) {
        let storage = &self.caller.storage;
        let delete =
            storage.delete_authorization_code(&self.request, &self.story.client_id, &self.code);
        let told = self.caller.call(delete).await.told;
        if let Some(code) = &mut self.story.code {
            // What may be stored afterwards is not deleted by what came before.
            code.deleted = Some(told.min(code.created));
        }
    }

    async fn redeem_once(&self) -> Result<(Tokens, Reply<Redeemed>)> {
        let tokens = Tokens::generate()?;
        let redeem = Redeem {
            code_verifier: Some(self.verifier.clone()),
            refresh_token: Some(tokens.refresh.clone()),
            ..Redeem::new(&self.story.client_id, URI, self.code.clone(), tokens.access.clone())
        };
        let storage = &self.caller.storage;
        let redeem = storage.redeem_authorization_code(&self.request, redeem);
        Ok((tokens, self.caller.call(redeem).await))
    }

    /// Redeems the code as often at the same time.
    async fn redeem(&mut self, times: usize) -> Result<()> {
        let sound = self.story.ended.is_none()
            && self.story.code.as_ref().is_some_and(|code| code.created == Told::Acknowledged);
        let replies = if times == 1 {
            vec![self.redeem_once().await?]
        } else {
            let (one, other) = tokio::join!(self.redeem_once(), self.redeem_once());
            vec![one?, other?]
        };
        let attempts = self.story.pairs.len() + replies.len();
        for (tokens, reply) in replies {
            let issued = match reply.value {
                Some(Redeemed::Issued(token)) => {
                    self.story.grant_id.get_or_insert(token.grant_id);
                    Told::Acknowledged
                }
                Some(Redeemed::Replayed { .. }) => {
                    self.story.end(Told::Acknowledged);
                    if attempts == 1 {
                        self.contradiction(|| "a code was replayed that nobody redeemed".into());
                    }
                    Told::Refused
                }
                Some(Redeemed::Invalid) => {
                    if sound && attempts == 1 {
                        self.contradiction(|| "an acknowledged code is invalid".into());
                    }
                    Told::Refused
                }
                None => {
                    if reply.told == Told::Unknown && attempts > 1 {
                        self.story.end(Told::Unknown);
                    }
                    reply.told
                }
            };
            self.keep(tokens, Origin::Code, issued);
        }
        if self.story.issued_for(Origin::Code) > 1 {
            self.contradiction(|| "a code was issued twice".into());
        }
        Ok(())
    }

    async fn rotate_once(&self, old: usize) -> Result<(Tokens, Reply<Rotated>)> {
        let tokens = Tokens::generate()?;
        let rotate = Rotate::new(
            &self.story.client_id,
            self.tokens[old].refresh.clone(),
            tokens.access.clone(),
            tokens.refresh.clone(),
        );
        let rotate = self.caller.storage.rotate_refresh_token(&self.request, rotate);
        Ok((tokens, self.caller.call(rotate).await))
    }

    /// Rotates the refresh token that was issued last, as often at the same time.
    async fn rotate_last(&mut self, times: usize) -> Result<()> {
        let last = self.story.pairs.iter().rposition(|pair| pair.issued != Told::Refused);
        let Some(old) = last else { return Ok(()) };
        let origin = Origin::Refresh(old);
        let before = self.story.fate(old, Kind::Refresh);
        let earlier = self.story.pairs.iter().filter(|pair| pair.origin == origin).count();
        let replies = if times == 1 {
            vec![self.rotate_once(old).await?]
        } else {
            let (one, other) = tokio::join!(self.rotate_once(old), self.rotate_once(old));
            vec![one?, other?]
        };
        let attempts = earlier + replies.len();
        for (tokens, reply) in replies {
            let issued = match reply.value {
                Some(Rotated::Issued(_)) => {
                    if before == Fate::Inactive && (self.story.strict || earlier == 0) {
                        self.contradiction(|| "a token that is not active was rotated".into());
                    }
                    Told::Acknowledged
                }
                Some(Rotated::Reused { .. }) => {
                    self.story.end(Told::Acknowledged);
                    if attempts == 1 {
                        self.contradiction(|| "a token was reused that nobody rotated".into());
                    }
                    Told::Refused
                }
                Some(Rotated::Invalid) => {
                    if before == Fate::Active && attempts == 1 {
                        self.contradiction(|| "an acknowledged refresh token is invalid".into());
                    }
                    Told::Refused
                }
                None => {
                    if reply.told == Told::Unknown && attempts > 1 {
                        self.story.end(Told::Unknown);
                    }
                    reply.told
                }
            };
            self.keep(tokens, origin, issued);
        }
        if self.story.strict && self.story.issued_for(origin) > 1 {
            self.contradiction(|| "a refresh token was exchanged twice".into());
        }
        Ok(())
    }

    /// Looks at one of the tokens, and whether it is what it has to be.
    async fn look(&self) {
        if self.tokens.is_empty() {
            return;
        }
        let pair = fastrand::usize(0..self.tokens.len());
        let tokens = &self.tokens[pair];
        let (kind, token) = if chance(70) {
            (Kind::Access, &tokens.access)
        } else {
            (Kind::Refresh, &tokens.refresh)
        };
        let fate = self.story.fate(pair, kind);
        let storage = &self.caller.storage;
        let active = if chance(60) {
            let found = self.caller.call(storage.introspect(token)).await.value;
            found.map(|found| found.is_some())
        } else {
            let named = TokenRef::Any(token);
            let get = storage.get_token(&self.request, &self.story.client_id, named);
            let found = self.caller.call(get).await.value;
            found.map(|found| found.is_some_and(|token| token.is_active()))
        };
        match (fate, active) {
            (Fate::Active, Some(false)) => {
                self.contradiction(|| {
                    format!("{kind:?} token {pair}, acknowledged, is not active")
                });
            }
            (Fate::Inactive, Some(true)) => {
                self.contradiction(|| {
                    format!("{kind:?} token {pair}, refused or ended, is active")
                });
            }
            _ => {}
        }
    }

    /// Ends it in one of the ways, or leaves it as it is.
    async fn end(&mut self) {
        let storage = self.caller.storage.clone();
        let acted = self.story.pairs.iter().rposition(|pair| pair.issued != Told::Refused);
        match (fastrand::u32(0..10), acted, self.story.grant_id) {
            (0 | 1, Some(pair), _) => {
                let token = TokenRef::Any(&self.tokens[pair].access);
                let revoke = storage.revoke_token(&self.request, &self.story.client_id, token);
                let told = self.caller.call(revoke).await.told;
                let pair = &mut self.story.pairs[pair];
                // What is stored afterwards is not revoked by what came before.
                pair.ended = pair.ended.max(Some(told.min(pair.issued)));
            }
            (2 | 3, Some(pair), _) => {
                let token = TokenRef::Any(&self.tokens[pair].refresh);
                let revoke = storage.revoke_token(&self.request, &self.story.client_id, token);
                let told = self.caller.call(revoke).await.told;
                self.story.end(told.min(self.story.pairs[pair].issued));
            }
            (4, _, Some(grant)) => {
                let told = self.caller.call(storage.revoke_grant(grant)).await.told;
                self.story.end(told);
            }
            (5, _, Some(_)) => {
                let told = self.caller.call(storage.revoke_subject(&self.subject)).await.told;
                self.story.end(told);
            }
            _ => {}
        }
    }

    async fn list(&self) {
        let list = self.caller.storage.list_grants(&self.subject, None, 10);
        let Some(listed) = self.caller.call(list).await.value else { return };
        let fates: Vec<Fate> = (0..self.story.pairs.len())
            .flat_map(|pair| [Kind::Access, Kind::Refresh].map(|kind| self.story.fate(pair, kind)))
            .collect();
        if listed.is_empty() && fates.contains(&Fate::Active) {
            self.contradiction(|| "a live grant is not listed".into());
        }
        if !listed.is_empty() && fates.iter().all(|fate| *fate == Fate::Inactive) {
            self.contradiction(|| "a grant is listed of which nothing is active".into());
        }
    }
}
