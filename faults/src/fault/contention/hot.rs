//! Grants that all callers of all processes use at the same time. Their codes are made from the time,
//! so that every process has the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use oauth_storage::error::InvalidReason;
use oauth_storage::grant::{IssuedTokens, RotationOutcome, TokenRotation};
use oauth_storage::token::TokenRef;
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, CodeRedemption, Error,
    GrantStorage as _, NewAuthorizationCode, NewClient, PgStorage, RedemptionOutcome,
    RequestContext, Secret, Settings, TokenStorage as _, User,
};
use tokio::task::JoinSet;

use crate::caller::Caller;
use crate::error::Result;
use crate::outcome::Outcome;
use crate::random::chance;
use crate::world::CODE_LIFETIME;

const CLIENT: &str = "hot";
/// The redirect URI of the shared codes alone, by which the verdict finds them.
pub(crate) const HOT_URI: &str = "https://hot.example/cb";
/// Few subjects, so that revoking one ends many grants.
const SUBJECTS: u32 = 4;
/// The number of shared codes at a time, and how long they are used.
const CODES: u32 = 8;
const EVERY: Duration = Duration::from_millis(100);

pub(crate) async fn register(storage: &PgStorage) -> Result<()> {
    let metadata = ClientMetadata::authorization_code([HOT_URI]).with_scope("openid".parse()?);
    storage.register_client(NewClient::new(metadata).with_client_id(CLIENT)).await?;
    Ok(())
}

/// Runs so many callers for that time, and returns the number of their operations.
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
        let settings = Settings::default()
            .with_authorization_code_expires_in(CODE_LIFETIME)
            .with_refresh_token_grace(Duration::from_secs(if chance(50) { 10 } else { 0 }));
        let request = RequestContext::for_user(User::new(&subject)).with_settings(settings);
        let storage = &self.caller.storage;

        let scope = "openid".parse()?;
        let new = NewAuthorizationCode::new(CLIENT, scope, HOT_URI, code.clone());
        let created = self.count(storage.create_authorization_code(&request, new)).await;
        let is_duplicate = |error: &Error| {
            matches!(error, Error::Invalid { field: "code", reason: InvalidReason::Duplicate })
        };
        if let Err(error) = created.as_ref()
            && !is_duplicate(error)
        {
            self.failed(error);
        }
        let redemption = CodeRedemption::new(CLIENT, HOT_URI, code).with_refresh_token(true);
        let redeemed = self.count(storage.redeem_authorization_code(&request, redemption)).await;
        let Some(RedemptionOutcome::Issued(issued)) = self.value(redeemed) else { return Ok(()) };
        let Some(refresh_token) = issued.tokens.refresh_token else { return Ok(()) };
        let rotation = TokenRotation::new(CLIENT, refresh_token);
        let rotated = self.count(storage.rotate_refresh_token(&request, rotation)).await;
        if let Some(RotationOutcome::Issued(issued)) = self.value(rotated) {
            self.follow(&request, &subject, &issued).await;
        }
        Ok(())
    }

    /// One more operation on a grant, or on the grants of its subject.
    async fn follow(&self, request: &RequestContext, subject: &str, issued: &IssuedTokens) {
        let storage = &self.caller.storage;
        let grant_id = issued.token.grant_id;
        let access_token = &issued.tokens.access_token;
        macro_rules! call {
            ($call:expr) => {
                drop(self.value(self.count($call).await))
            };
        }
        match fastrand::u32(0..10) {
            0 => call!(storage.revoke_token(request, CLIENT, TokenRef::Any(access_token))),
            1 => call!(storage.revoke_grant(grant_id)),
            2 => call!(storage.revoke_grant_of(subject, grant_id)),
            3 => call!(storage.revoke_grants_of(subject, CLIENT)),
            4 => call!(storage.revoke_subject(subject)),
            5 => call!(storage.erase_subject(subject)),
            6 => call!(storage.list_grants(subject, None, 100)),
            7 => call!(storage.get_grant(grant_id)),
            8 => call!(storage.purge_expired(100)),
            _ => call!(storage.introspect(access_token)),
        }
    }

    async fn count<T>(
        &self,
        call: impl Future<Output = oauth_storage::error::Result<T>>,
    ) -> Result<T, oauth_storage::Error> {
        self.met.fetch_add(1, Ordering::Relaxed);
        call.await
    }

    fn value<T>(&self, result: oauth_storage::error::Result<T>) -> Option<T> {
        result.inspect_err(|error| self.failed(error)).ok()
    }

    fn failed(&self, error: &Error) {
        self.caller.ledger.tally.error(error);
        self.caller.ledger.tally.outcome(Outcome::of_error(error), Duration::ZERO);
    }
}
