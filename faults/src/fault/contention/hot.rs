//! Grants that all callers of all processes act on at the same time. Their codes are the same
//! secrets everywhere, made from the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, Error, GrantStorage as _,
    NewAuthorizationCode, NewClient, PgStorage, Problem, Redeem, Redeemed, Request, Rotate,
    Rotated, Secret, Settings, TokenRef, TokenStorage as _, User,
};
use tokio::task::JoinSet;

use crate::Result;
use crate::caller::Caller;
use crate::ledger::Told;
use crate::walk::{CODE_LIFETIME, Tokens, chance};
use crate::world::URI;

const CLIENT: &str = "hot";
/// Few subjects, so that revoking one meets many grants.
const SUBJECTS: u32 = 4;
/// Codes at a time, and for how long.
const CODES: u32 = 8;
const EVERY: Duration = Duration::from_millis(100);

pub(crate) async fn register(storage: &PgStorage) -> Result<String> {
    let metadata = ClientMetadata::authorization_code([URI]).with_scope("openid".parse()?);
    storage.register_client(NewClient::new(metadata).with_client_id(CLIENT)).await?;
    Ok(CLIENT.to_owned())
}

/// Runs so many callers for that time; how many operations they made.
pub(crate) async fn meet(caller: &Caller, callers: usize, time: Duration) -> Result<u64> {
    let until = Instant::now() + time;
    let met = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let hot = Hot { caller: caller.another(), met: Arc::clone(&met) };
        tasks.spawn(async move {
            while Instant::now() < until {
                hot.act().await?;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(met.load(Ordering::Relaxed))
}

struct Hot {
    caller: Caller,
    met: Arc<AtomicU64>,
}

impl Hot {
    async fn act(&self) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let generation = now.as_millis() / EVERY.as_millis();
        let number = fastrand::u32(0..CODES);
        let code = Secret::new(format!("hot-{generation}-{number}"));
        let subject = format!("hot-{}", number % SUBJECTS);
        let settings = Settings {
            authorization_code_expires_in: CODE_LIFETIME,
            refresh_token_grace: Duration::from_secs(if chance(50) { 10 } else { 0 }),
            ..Settings::default()
        };
        let request = Request::for_user(User::new(&subject)).with_settings(settings);
        let storage = &self.caller.storage;

        let scope = "openid".parse()?;
        let new = NewAuthorizationCode::new(CLIENT, scope, URI, code.clone());
        let created = self.count(storage.create_authorization_code(&request, new)).await;
        let taken = |error: &Error| {
            matches!(error, Error::Invalid { field: "code", problem: Problem::Duplicate })
        };
        if let Err(error) = created.as_ref()
            && !taken(error)
        {
            self.failed(error);
        }
        let tokens = Tokens::generate()?;
        let redeem = Redeem {
            refresh_token: Some(tokens.refresh.clone()),
            ..Redeem::new(CLIENT, URI, code, tokens.access.clone())
        };
        let redeem = self.count(storage.redeem_authorization_code(&request, redeem));
        let redeemed = self.value(redeem.await);
        if let Some(Redeemed::Issued(_)) = redeemed {
            let next = Tokens::generate()?;
            let rotate = || {
                Rotate::new(
                    CLIENT,
                    tokens.refresh.clone(),
                    next.access.clone(),
                    next.refresh.clone(),
                )
            };
            let rotated = self.count(storage.rotate_refresh_token(&request, rotate()));
            if let Some(Rotated::Issued(token)) = self.value(rotated.await) {
                let grant = token.grant_id;
                let token = TokenRef::Any(&next.refresh);
                match fastrand::u32(0..6) {
                    0 => drop(
                        self.value(self.count(storage.revoke_token(&request, CLIENT, token)).await),
                    ),
                    1 => drop(self.value(self.count(storage.revoke_grant(grant)).await)),
                    2 => drop(self.value(self.count(storage.revoke_subject(&subject)).await)),
                    3 => {
                        drop(self.value(self.count(storage.list_grants(&subject, None, 100)).await))
                    }
                    4 => drop(self.value(self.count(storage.purge_expired(100)).await)),
                    _ => drop(self.value(self.count(storage.introspect(&next.access)).await)),
                }
            }
        }
        Ok(())
    }

    async fn count<T>(
        &self,
        call: impl Future<Output = oauth_storage::Result<T>>,
    ) -> oauth_storage::Result<T> {
        self.met.fetch_add(1, Ordering::Relaxed);
        call.await
    }

    fn value<T>(&self, result: oauth_storage::Result<T>) -> Option<T> {
        result.inspect_err(|error| self.failed(error)).ok()
    }

    fn failed(&self, error: &Error) {
        self.caller.ledger.tally.error(error);
        self.caller.ledger.tally.told(Told::by(error), Duration::ZERO);
    }
}
