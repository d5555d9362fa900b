//! The context of a rule, and helpers that several modules use.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Barrier;
use uuid::Uuid;

use oauth_storage::authorization_code::AuthorizationCode;
use oauth_storage::backend::MAX_CREDENTIAL_BYTES;
use oauth_storage::client::{Client, RegisteredClient};
use oauth_storage::error::{Advice, InvalidReason, Result};
use oauth_storage::grant::Grant;
use oauth_storage::token::{NewToken, Token, TokenRef, TokenState};
use oauth_storage::{
    ClientMetadata, Error, NewAuthorizationCode, NewClient, RequestContext, Scope, Secret,
    Settings, Storage, TokenPair, User,
};

/// The redirect URI of the suite's clients.
pub(super) const REDIRECT_URI: &str = "https://client.example/cb";

/// A lifetime that ends during [`outlast`].
pub(super) const SHORT: Duration = Duration::from_millis(50);
const LONGER_THAN_SHORT: Duration = Duration::from_millis(150);

pub(super) const ACTIVE: Option<TokenState> = Some(TokenState::Active);
pub(super) const REVOKED: Option<TokenState> = Some(TokenState::Revoked);

/// A user whom the storage can authenticate.
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: Secret,
    pub(super) subject: String,
}

/// The argument of every rule.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) user: Option<Arc<Credentials>>,
    pub(super) id_tokens: bool,
}

/// A pair that was stored, and the record of its access token.
#[derive(Clone)]
pub(super) struct Pair {
    pub(super) access: Secret,
    pub(super) refresh: Secret,
    pub(super) token: Token,
}

impl Pair {
    /// # Panics
    /// If the pair has no refresh token.
    #[track_caller]
    pub(super) fn new(token: Token, tokens: TokenPair) -> Self {
        let refresh = tokens.refresh_token.expect("a refresh token was requested");
        Self { access: tokens.access_token, refresh, token }
    }

    pub(super) fn grant_id(&self) -> Uuid {
        self.token.grant_id
    }
}

impl Context {
    pub(super) async fn register(&self, new: NewClient) -> RegisteredClient {
        self.storage.register_client(new).await.expect("register_client of a good client")
    }

    /// Registers a confidential client of the code flow, and returns its identifier.
    pub(super) async fn client(&self) -> String {
        let new = NewClient::new(metadata()).with_client_id(unique());
        self.register(new).await.client.client_id
    }

    /// Registers a confidential client, and returns its identifier and its secret.
    pub(super) async fn client_and_secret(&self) -> (String, Secret) {
        let new = NewClient::new(metadata()).with_client_id(unique());
        let registered = self.register(new).await;
        let secret = registered.client_secret;
        (registered.client.client_id, secret.expect("registration returns a generated secret"))
    }

    pub(super) async fn get_client(&self, id: &str, secret: Option<&Secret>) -> Option<Client> {
        let found = self.storage.get_client(&RequestContext::default(), id, secret).await;
        found.expect("get_client has no error that depends on the client").map(unused)
    }

    pub(super) async fn read_client(&self, id: &str) -> Option<Client> {
        let found = self.storage.read_client(id).await;
        found.expect("read_client has no error that depends on the client").map(unused)
    }

    pub(super) async fn set_disabled(&self, id: &str, disabled: bool) {
        let known = self.storage.set_client_disabled(id, disabled).await;
        assert!(known.expect("set_client_disabled"), "true for a known client");
    }

    /// Stores tokens.
    pub(super) async fn create(&self, request: &RequestContext, new: NewToken) -> Token {
        self.storage.create_token(request, new).await.expect("create_token of good tokens")
    }

    /// Stores a pair of a new grant.
    pub(super) async fn pair(&self, request: &RequestContext, client_id: &str) -> Pair {
        self.pair_of(request, new_token(client_id)).await
    }

    /// Stores these tokens, which include a refresh token.
    pub(super) async fn pair_of(&self, request: &RequestContext, new: NewToken) -> Pair {
        let tokens = new.tokens.clone();
        Pair::new(self.create(request, new).await, tokens)
    }

    /// Stores a further pair of the same grant.
    pub(super) async fn sibling(&self, request: &RequestContext, pair: &Pair) -> Pair {
        self.pair_of(request, joining(&pair.token)).await
    }

    pub(super) async fn get(&self, client_id: &str, token: TokenRef<'_>) -> Option<Token> {
        let found = self.storage.get_token(&RequestContext::default(), client_id, token).await;
        found.expect("get_token has no error that depends on the token")
    }

    /// The states of the access token and the refresh token.
    pub(super) async fn states(&self, client_id: &str, pair: &Pair) -> [Option<TokenState>; 2] {
        let access = self.get(client_id, TokenRef::Access(&pair.access)).await;
        let refresh = self.get(client_id, TokenRef::Refresh(&pair.refresh)).await;
        [access.map(|token| token.state), refresh.map(|token| token.state)]
    }

    pub(super) async fn revoke(&self, client_id: &str, token: TokenRef<'_>) {
        let revoked = self.storage.revoke_token(&RequestContext::default(), client_id, token).await;
        revoked.expect("revoke_token succeeds, with any token (RFC 7009 2.2)");
    }

    pub(super) async fn introspect(&self, token: &Secret) -> Option<Token> {
        self.storage.introspect(token).await.expect("introspect")
    }

    pub(super) async fn is_active(&self, token: &Secret) -> bool {
        self.introspect(token).await.is_some()
    }

    pub(super) async fn grant(&self, grant_id: Uuid) -> Option<Grant> {
        self.storage.get_grant(grant_id).await.expect("get_grant")
    }

    /// Stores a code.
    pub(super) async fn code(
        &self,
        request: &RequestContext,
        client_id: &str,
    ) -> (Secret, AuthorizationCode) {
        let code = secret();
        let new = new_code(client_id, &code);
        let stored = self.storage.create_authorization_code(request, new).await;
        (code, stored.expect("create_authorization_code of a good code"))
    }

    pub(super) async fn get_code(&self, id: &str, code: &Secret) -> Option<AuthorizationCode> {
        let found = self.storage.get_authorization_code(&RequestContext::default(), id, code).await;
        found.expect("get_authorization_code has no error that depends on the code")
    }

    pub(super) async fn delete_code(&self, id: &str, code: &Secret) {
        let deleted =
            self.storage.delete_authorization_code(&RequestContext::default(), id, code).await;
        deleted.expect("delete_authorization_code succeeds, with any code");
    }
}

/// An identifier that is used once, in letters that every collation sorts alike.
pub(super) fn unique() -> String {
    format!("cf{:016x}", getrandom::u64().expect("randomness"))
}

/// The client without the time of its last use, which a storage may write at any moment after it.
pub(super) fn unused(mut client: Client) -> Client {
    client.last_used_at = None;
    client
}

/// A generated credential of a new grant.
pub(super) fn secret() -> Secret {
    Secret::generate().expect("randomness")
}

/// A generated pair of a new grant.
pub(super) fn tokens() -> TokenPair {
    TokenPair::generate().expect("randomness")
}

/// A generated pair of this grant.
pub(super) fn tokens_for(grant_id: Uuid) -> TokenPair {
    TokenPair::generate_for(grant_id).expect("randomness")
}

/// A credential that was made elsewhere, and names no grant.
pub(super) fn foreign_secret() -> Secret {
    Secret::new(format!("eyJ0eXAi.{}{}.{}", unique(), unique(), unique()))
}

/// A pair that was made elsewhere, and names no grant.
pub(super) fn foreign_tokens() -> TokenPair {
    TokenPair::new(foreign_secret()).with_refresh_token(foreign_secret())
}

pub(super) fn scope() -> Scope {
    "openid profile".parse().expect("a scope")
}

/// The largest scope: 100 tokens.
pub(super) fn largest_scope() -> Scope {
    let tokens: Vec<String> = (100..200).map(|n| format!("{n}{}", "s".repeat(36))).collect();
    tokens.join(" ").parse().expect("a scope of 100 tokens")
}

pub(super) fn metadata() -> ClientMetadata {
    ClientMetadata::authorization_code([REDIRECT_URI]).with_scope(scope())
}

/// A generated pair of a new grant.
pub(super) fn new_token(client_id: &str) -> NewToken {
    NewToken::new(client_id, scope(), tokens())
}

/// A generated pair that joins the grant of a token.
pub(super) fn joining(token: &Token) -> NewToken {
    let new = NewToken::new(&token.client_id, scope(), tokens_for(token.grant_id));
    let new = new.with_grant_id(token.grant_id);
    match &token.subject {
        Some(subject) => new.with_subject(subject),
        None => new,
    }
}

pub(super) fn new_code(client_id: &str, code: &Secret) -> NewAuthorizationCode {
    NewAuthorizationCode::new(client_id, scope(), REDIRECT_URI, code.clone())
}

/// A request of a new user.
pub(super) fn request() -> RequestContext {
    RequestContext::for_user(User::new(unique()))
}

/// The subject of a request of a user.
#[track_caller]
pub(super) fn subject(request: &RequestContext) -> &str {
    request.subject().expect("a request of a user")
}

/// A request of a new user, with lifetimes of [`SHORT`].
pub(super) fn short_lived() -> RequestContext {
    request().with_settings(
        Settings::default()
            .with_access_token_expires_in(SHORT)
            .with_refresh_token_expires_in(SHORT)
            .with_authorization_code_expires_in(SHORT),
    )
}

/// Waits until a lifetime of [`SHORT`] has ended.
pub(super) async fn outlast() {
    tokio::time::sleep(LONGER_THAN_SHORT).await;
}

/// Asserts that the call was refused as the caller's mistake, with this field and this kind of
/// reason. A limit in the reason is not compared.
#[track_caller]
pub(super) fn refused<T: Debug>(result: Result<T>, field: &str, reason: InvalidReason, what: &str) {
    match result {
        Err(ref error @ Error::Invalid { field: own_field, reason: own_reason }) => {
            assert_eq!(own_field, field, "{what}: the error must name the field");
            assert_eq!(
                std::mem::discriminant(&own_reason),
                std::mem::discriminant(&reason),
                "{what}: the error must be {reason:?} of {field}, but is {own_reason:?}"
            );
            assert_eq!(error.advice(), Advice::FixInput, "{what}");
        }
        other => panic!("{what}: must be refused as {field}: {reason:?}, but is {other:?}"),
    }
}

/// Returns true for an error that names one of the fields as a duplicate.
pub(super) fn is_duplicate<T>(result: &Result<T>, fields: &[&str]) -> bool {
    matches!(
        result,
        Err(Error::Invalid { field, reason: InvalidReason::Duplicate }) if fields.contains(field)
    )
}

/// Values that break the syntax of a credential. A lookup of one finds nothing.
pub(super) fn ill_formed() -> Vec<Secret> {
    let long = "x".repeat(MAX_CREDENTIAL_BYTES + 1);
    let longer = "x".repeat(2 * 1024 * 1024);
    ["", "\0", "a\0b", "a\nb", "a\u{7f}b", "\u{1b}[2J", "é", "\u{202e}", &long, &longer]
        .into_iter()
        .map(Secret::new)
        .collect()
}

/// Identifiers that break the syntax of a client identifier, or try SQL injection. None is registered.
pub(super) fn strange_client_ids() -> Vec<String> {
    let mut ids: Vec<String> =
        ["", "\0", "a\0b", "a\r\nb", "ünïcode", "' OR '1'='1", "%", "_", "*", "\\", "NULL"]
            .map(str::to_owned)
            .into();
    ids.extend(["x".repeat(256), "x".repeat(2 * 1024 * 1024)]);
    ids
}

/// The `Debug` output and the JSON of a model.
pub(super) fn shown(model: &(impl Debug + Serialize)) -> String {
    let json = serde_json::to_string(model).expect("a model has JSON");
    format!("{model:?}\n{model:#?}\n{json}")
}

/// Runs this many tasks, which start at the same time. Returns their results in order.
pub(super) async fn together<F, T>(count: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let barrier = Arc::new(Barrier::new(count));
    let start = |index| {
        let (barrier, task) = (Arc::clone(&barrier), task(index));
        tokio::spawn(async move {
            barrier.wait().await;
            task.await
        })
    };
    let tasks: Vec<_> = (0..count).map(start).collect();
    let mut results = Vec::with_capacity(count);
    for task in tasks {
        results.push(joined(task.await));
    }
    results
}

/// The result of a task; a panic of the task continues here.
pub(super) fn joined<T>(result: std::result::Result<T, tokio::task::JoinError>) -> T {
    match result {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => panic!("{error}"),
    }
}
