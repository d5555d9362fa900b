//! What the rules share: a storage, and short words for what they all do.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Barrier;

use crate::error::{Advice, Error, Problem, Result};
use crate::model::{
    AuthorizationCode, Client, ClientMetadata, NewAuthorizationCode, NewClient, NewToken,
    RegisteredClient, Scope, Token, TokenRef, TokenState, User,
};
use crate::request::{Request, Settings};
use crate::secret::{MAX_CREDENTIAL_BYTES, Secret};
use crate::storage::Storage;

/// Where the suite's clients are redirected to.
pub(super) const REDIRECT_URI: &str = "https://client.example/cb";

/// A lifetime that ends while one waits, and the wait.
pub(super) const SHORT: Duration = Duration::from_millis(50);
const LONGER_THAN_SHORT: Duration = Duration::from_millis(150);

/// A user whom the storage knows.
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: Secret,
    pub(super) subject: String,
}

/// What a rule is given.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) user: Option<Arc<Credentials>>,
    pub(super) id_tokens: bool,
}

/// A pair that was stored.
pub(super) struct Pair {
    pub(super) access: Secret,
    pub(super) refresh: Secret,
    pub(super) token: Token,
}

impl Context {
    pub(super) async fn register(&self, new: NewClient) -> RegisteredClient {
        self.storage.register_client(new).await.expect("register_client of a good client")
    }

    /// A confidential client of the code flow; its identifier.
    pub(super) async fn client(&self) -> String {
        let new = NewClient::new(metadata()).with_client_id(unique());
        self.register(new).await.client.client_id
    }

    /// The same with its secret.
    pub(super) async fn client_and_secret(&self) -> (String, Secret) {
        let new = NewClient::new(metadata()).with_client_id(unique());
        let registered = self.register(new).await;
        let secret = registered.client_secret;
        (registered.client.client_id, secret.expect("a generated secret is shown at registration"))
    }

    pub(super) async fn get_client(&self, id: &str, secret: Option<&Secret>) -> Option<Client> {
        let found = self.storage.get_client(&Request::default(), id, secret).await;
        found.expect("get_client has no error that depends on the client")
    }

    pub(super) async fn read_client(&self, id: &str) -> Option<Client> {
        let found = self.storage.read_client(id).await;
        found.expect("read_client has no error that depends on the client")
    }

    /// Stores a pair.
    pub(super) async fn pair(&self, request: &Request, client_id: &str) -> Pair {
        self.pair_of(request, NewToken::new(client_id, scope(), Secret::default())).await
    }

    /// Stores a pair of that grant, with secrets of its own.
    pub(super) async fn pair_of(&self, request: &Request, mut new: NewToken) -> Pair {
        let (access, refresh) = (secret(), secret());
        new.access_token = access.clone();
        new.refresh_token = Some(refresh.clone());
        let token = self.storage.create_token(request, new).await.expect("create_token of a pair");
        Pair { access, refresh, token }
    }

    pub(super) async fn get(&self, client_id: &str, token: TokenRef<'_>) -> Option<Token> {
        let found = self.storage.get_token(&Request::default(), client_id, token).await;
        found.expect("get_token has no error that depends on the token")
    }

    /// The states of the access token and the refresh token.
    pub(super) async fn states(&self, client_id: &str, pair: &Pair) -> [Option<TokenState>; 2] {
        let access = self.get(client_id, TokenRef::Access(&pair.access)).await;
        let refresh = self.get(client_id, TokenRef::Refresh(&pair.refresh)).await;
        [access.map(|token| token.state), refresh.map(|token| token.state)]
    }

    pub(super) async fn revoke(&self, client_id: &str, token: TokenRef<'_>) {
        let revoked = self.storage.revoke_token(&Request::default(), client_id, token).await;
        revoked.expect("revoke_token succeeds, whatever the token (RFC 7009 2.2)");
    }

    /// Stores a code.
    pub(super) async fn code(
        &self,
        request: &Request,
        client_id: &str,
    ) -> (Secret, AuthorizationCode) {
        let code = secret();
        let new = new_code(client_id, &code);
        let stored = self.storage.create_authorization_code(request, new).await;
        (code, stored.expect("create_authorization_code of a good code"))
    }

    pub(super) async fn get_code(&self, id: &str, code: &Secret) -> Option<AuthorizationCode> {
        let found = self.storage.get_authorization_code(&Request::default(), id, code).await;
        found.expect("get_authorization_code has no error that depends on the code")
    }

    pub(super) async fn delete_code(&self, id: &str, code: &Secret) {
        let deleted = self.storage.delete_authorization_code(&Request::default(), id, code).await;
        deleted.expect("delete_authorization_code succeeds, whatever the code");
    }
}

/// An identifier that nobody else has, in letters that every collation sorts alike.
pub(super) fn unique() -> String {
    format!("cf{:016x}", getrandom::u64().expect("randomness"))
}

pub(super) fn secret() -> Secret {
    Secret::generate().expect("randomness")
}

pub(super) fn scope() -> Scope {
    "openid profile".parse().expect("a scope")
}

pub(super) fn metadata() -> ClientMetadata {
    ClientMetadata::authorization_code([REDIRECT_URI]).with_scope(scope())
}

pub(super) fn new_code(client_id: &str, code: &Secret) -> NewAuthorizationCode {
    NewAuthorizationCode::new(client_id, scope(), REDIRECT_URI, code.clone())
}

/// A request of a user whom nobody else is.
pub(super) fn request() -> Request {
    Request::for_user(User::new(unique()))
}

/// The same, with lifetimes of everything that end in no time.
pub(super) fn short_lived() -> Request {
    request().with_settings(Settings {
        access_token_expires_in: SHORT,
        refresh_token_expires_in: SHORT,
        authorization_code_expires_in: SHORT,
        ..Settings::default()
    })
}

/// Waits until what is [`SHORT`] has ended.
pub(super) async fn outlast() {
    tokio::time::sleep(LONGER_THAN_SHORT).await;
}

/// Asserts that the call was refused as the caller's mistake, in that field, for that reason
/// (where a reason has a limit, whatever the limit).
#[track_caller]
pub(super) fn refused<T: Debug>(result: Result<T>, field: &str, problem: Problem, what: &str) {
    match result {
        Err(ref error @ Error::Invalid { field: own_field, problem: own_problem }) => {
            assert_eq!(own_field, field, "{what}: the error must name the field");
            assert_eq!(
                std::mem::discriminant(&own_problem),
                std::mem::discriminant(&problem),
                "{what}: the error must be {problem:?} of {field}, but is {own_problem:?}"
            );
            assert_eq!(error.advice(), Advice::FixInput, "{what}");
        }
        other => panic!("{what}: must be refused as {field}: {problem:?}, but is {other:?}"),
    }
}

/// Whether the result is an error that names a field as a duplicate.
pub(super) fn is_duplicate<T>(result: &Result<T>, fields: &[&str]) -> bool {
    matches!(
        result,
        Err(Error::Invalid { field, problem: Problem::Duplicate }) if fields.contains(field)
    )
}

/// What cannot be a credential, and so is never found.
pub(super) fn ill_formed() -> Vec<Secret> {
    let long = "x".repeat(MAX_CREDENTIAL_BYTES + 1);
    let longer = "x".repeat(2 * 1024 * 1024);
    ["", "\0", "a\0b", "a\nb", "a\u{7f}b", "\u{1b}[2J", "é", "\u{202e}", &long, &longer]
        .into_iter()
        .map(Secret::new)
        .collect()
}

/// What cannot be a client identifier, or is one that tries to be SQL; none is registered.
pub(super) fn strange_client_ids() -> Vec<String> {
    let mut ids: Vec<String> =
        ["", "\0", "a\0b", "a\r\nb", "ünïcode", "' OR '1'='1", "%", "_", "*", "\\", "NULL"]
            .map(str::to_owned)
            .into();
    ids.extend(["x".repeat(256), "x".repeat(2 * 1024 * 1024)]);
    ids
}

/// Everything that a model shows of itself.
pub(super) fn shown(model: &(impl Debug + Serialize)) -> String {
    let json = serde_json::to_string(model).expect("a model has JSON");
    format!("{model:?}\n{model:#?}\n{json}")
}

/// Runs that many at the same time, as tasks that start together; in order.
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
        match task.await {
            Ok(result) => results.push(result),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => panic!("{error}"),
        }
    }
    results
}
