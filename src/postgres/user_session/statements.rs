//! The statements on sessions that run on lanes.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::postgres::batching::Statement;
use crate::postgres::error::Effect;
use crate::postgres::token::by_position;
use crate::secret::TokenHash;
use crate::settings::micros;
use crate::user::User;
use crate::user_session::{NewUserSession, UserSession, auth_time};

/// Encodes a value for a column of `jsonb`; null for an empty one.
fn encode<T: Serialize>(value: &T, is_empty: bool) -> sqlx::Result<Option<String>> {
    if is_empty {
        return Ok(None);
    }
    serde_json::to_string(value).map(Some).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// Decodes a value of a column of `jsonb`.
pub(super) fn decode<T: DeserializeOwned + Default>(
    column: &'static str,
    sid: Uuid,
    value: Option<String>,
) -> Result<T> {
    let value = value.map_or_else(|| Ok(T::default()), |json| serde_json::from_str(&json));
    value.map_err(|error| Error::Corrupt {
        table: "oauth_storage.user_session",
        column,
        row: sid.to_string(),
        message: error.to_string(),
    })
}

fn halves<'a>(digests: impl Iterator<Item = &'a TokenHash>) -> (Vec<Uuid>, Vec<Uuid>) {
    digests.map(TokenHash::halves).unzip()
}

/// The authentications of a batch as parameter arrays.
struct Authentications<'a> {
    subject: Vec<&'a str>,
    auth_time: Vec<Option<DateTime<Utc>>>,
    acr: Vec<Option<&'a str>>,
    amr: Vec<Option<String>>,
}

impl<'a> Authentications<'a> {
    fn new(users: impl Iterator<Item = &'a User> + Clone) -> sqlx::Result<Self> {
        Ok(Self {
            subject: users.clone().map(|user| user.subject.as_str()).collect(),
            auth_time: users.clone().map(auth_time).collect(),
            acr: users.clone().map(|user| user.acr.as_deref()).collect(),
            amr: users
                .map(|user| encode(&user.amr, user.amr.is_empty()))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Stores a new session.
pub(super) struct StartSession {
    digest: TokenHash,
    sid: Uuid,
    session: NewUserSession,
}

impl StartSession {
    pub(super) fn new(digest: TokenHash, session: NewUserSession) -> Self {
        Self { digest, sid: Uuid::now_v7(), session }
    }
}

impl Statement for StartSession {
    type Outcome = UserSession;
    const NAME: &'static str = "start_session";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let each = || batch.iter().map(|start| &start.session);
        let (digest, tail) = halves(batch.iter().map(|start| &start.digest));
        let sid: Vec<Uuid> = batch.iter().map(|start| start.sid).collect();
        let of = Authentications::new(each().map(|session| &session.user))?;
        let details: Vec<Option<String>> = each()
            .map(|session| encode(&session.details, session.details.is_empty()))
            .collect::<sqlx::Result<_>>()?;
        let lifetime: Vec<i64> = each().map(|session| micros(session.lifetime)).collect();
        let idle_timeout: Vec<Option<i64>> =
            each().map(|session| session.idle_timeout.map(micros)).collect();
        let rows = sqlx::query_file!(
            "src/postgres/sql/start_sessions.sql",
            &sid,
            &digest,
            &tail,
            &of.subject as _,
            &of.auth_time as _,
            &of.acr as _,
            &of.amr as _,
            &details as _,
            &lifetime,
            &idle_timeout as _,
        )
        .fetch_all(connection)
        .await?;
        let stored: HashMap<Uuid, _> = rows.into_iter().map(|row| (row.sid, row)).collect();
        let outcomes = batch.iter().filter_map(|StartSession { sid, session, .. }| {
            let row = stored.get(sid)?;
            Some(UserSession {
                sid: *sid,
                subject: session.user.subject.clone(),
                created_at: row.created_at,
                auth_time: row.authenticated_at,
                acr: session.user.acr.clone(),
                amr: session.user.amr.clone(),
                expires_at: row.expires_at,
                absolute_expires_at: row.absolute_expires_at,
                details: session.details.clone(),
            })
        });
        Ok(outcomes.collect())
    }
}

struct SessionRow {
    position: i64,
    sid: Uuid,
    subject: String,
    created_at: DateTime<Utc>,
    authenticated_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    absolute_expires_at: DateTime<Utc>,
    acr: Option<String>,
    amr: Option<String>,
    details: Option<String>,
    is_due: bool,
}

/// A session, and whether its idle end has to be moved.
pub(super) struct FoundSession {
    pub(super) session: UserSession,
    pub(super) is_due: bool,
}

impl SessionRow {
    fn into_found(self) -> sqlx::Result<(i64, Box<FoundSession>)> {
        let corrupt = |error: Error| sqlx::Error::Decode(error.into());
        let session = UserSession {
            sid: self.sid,
            subject: self.subject,
            created_at: self.created_at,
            auth_time: self.authenticated_at,
            acr: self.acr,
            amr: decode("amr", self.sid, self.amr).map_err(corrupt)?,
            expires_at: self.expires_at,
            absolute_expires_at: self.absolute_expires_at,
            details: decode("details", self.sid, self.details).map_err(corrupt)?,
        };
        Ok((self.position, Box::new(FoundSession { session, is_due: self.is_due })))
    }
}

fn found(len: usize, rows: Vec<SessionRow>) -> sqlx::Result<Vec<Option<Box<FoundSession>>>> {
    let found: Vec<_> =
        rows.into_iter().map(SessionRow::into_found).collect::<sqlx::Result<_>>()?;
    Ok(by_position(len, found.into_iter()))
}

/// Finds a live session.
pub(super) struct FindSession(pub(super) TokenHash);

impl Statement for FindSession {
    /// Boxed because it is large.
    type Outcome = Option<Box<FoundSession>>;
    const NAME: &'static str = "find_session";
    const EFFECT: Effect = Effect::Read;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let (digest, tail) = halves(batch.iter().map(|find| &find.0));
        let rows =
            sqlx::query_file_as!(SessionRow, "src/postgres/sql/find_sessions.sql", &digest, &tail)
                .fetch_all(connection)
                .await?;
        found(batch.len(), rows)
    }

    fn row(&self) -> Option<(&'static str, String)> {
        Some(("oauth_storage.user_session", self.0.to_string()))
    }
}

/// Moves the idle end of a session.
pub(super) struct UseSession(pub(super) Uuid);

impl Statement for UseSession {
    /// The new end, if this call moved it.
    type Outcome = Option<DateTime<Utc>>;
    const NAME: &'static str = "use_session";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let sid: Vec<Uuid> = batch.iter().map(|used| used.0).collect();
        let rows = sqlx::query_file!("src/postgres/sql/use_sessions.sql", &sid)
            .fetch_all(connection)
            .await?;
        let ends: HashMap<Uuid, _> =
            rows.into_iter().map(|row| (row.sid, row.expires_at)).collect();
        Ok(sid.iter().map(|sid| ends.get(sid).copied()).collect())
    }

    fn key(&self) -> Option<u128> {
        Some(self.0.as_u128())
    }
}

/// Gives a live session a new secret and a new authentication.
pub(super) struct Reauthenticate {
    digest: TokenHash,
    new_digest: TokenHash,
    user: User,
}

impl Reauthenticate {
    pub(super) const fn new(digest: TokenHash, new_digest: TokenHash, user: User) -> Self {
        Self { digest, new_digest, user }
    }
}

impl Statement for Reauthenticate {
    /// `None` if the subject has no such live session.
    type Outcome = Option<UserSession>;
    const NAME: &'static str = "reauthenticate_session";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let (digest, tail) = halves(batch.iter().map(|change| &change.digest));
        let (new_digest, new_tail) = halves(batch.iter().map(|change| &change.new_digest));
        let to = Authentications::new(batch.iter().map(|change| &change.user))?;
        let rows = sqlx::query_file_as!(
            SessionRow,
            "src/postgres/sql/reauthenticate_sessions.sql",
            &digest,
            &tail,
            &new_digest,
            &new_tail,
            &to.subject as _,
            &to.auth_time as _,
            &to.acr as _,
            &to.amr as _,
        )
        .fetch_all(connection)
        .await?;
        let changed = found(batch.len(), rows)?;
        Ok(changed.into_iter().map(|found| found.map(|found| found.session)).collect())
    }

    fn key(&self) -> Option<u128> {
        Some(self.digest.halves().0.as_u128())
    }
}
