//! The digests of a token pair.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::postgres::batching::Connections;
use crate::postgres::cluster::{self, Duplicate, NewTokenRow, after};
use crate::settings::Lifetimes;
use crate::token::TokenPair;

/// The digests of a pair, in halves as they are stored.
#[derive(Clone, Copy)]
pub(in crate::postgres) struct PairDigests {
    access: (Uuid, Uuid),
    refresh: Option<(Uuid, Uuid)>,
    /// True on a cluster if the tokens name no grant, so that every shard must be searched for
    /// duplicates.
    may_exist_elsewhere: bool,
}

impl PairDigests {
    pub(in crate::postgres) fn new(connections: &impl Connections, tokens: &TokenPair) -> Self {
        Self {
            may_exist_elsewhere: connections.is_cluster() && tokens.grant_id().is_none(),
            access: tokens.access_token.digest().halves(),
            refresh: tokens.refresh_token.as_ref().map(|token| token.digest().halves()),
        }
    }
}

impl PairDigests {
    /// The pair without its refresh token.
    pub(in crate::postgres) const fn without_refresh_token(self) -> Self {
        Self { refresh: None, ..self }
    }

    /// The digests of the access token and of the refresh token.
    pub(in crate::postgres) const fn digests(&self) -> ((Uuid, Uuid), Option<(Uuid, Uuid)>) {
        (self.access, self.refresh)
    }

    /// Fails with [`Duplicate`] if one of the tokens already exists on any shard. The primary key
    /// is unique only within a grant.
    pub(in crate::postgres) async fn refuse_duplicates(
        &self,
        connection: &mut PgConnection,
    ) -> sqlx::Result<()> {
        if !self.may_exist_elsewhere {
            return Ok(());
        }
        let refresh = self.refresh.map(|digest| ("refresh_token", digest));
        let tokens = || [("access_token", self.access)].into_iter().chain(refresh);
        let mut digests: Vec<_> = tokens().map(|(_, digest)| digest).collect();
        digests.sort_unstable();
        for digest in digests {
            cluster::lock_credential(connection, digest).await?;
        }
        for (field, (digest, tail)) in tokens() {
            let exists =
                sqlx::query_file_scalar!("src/postgres/sql/token_exists.sql", digest, tail)
                    .fetch_one(&mut *connection)
                    .await?;
            if exists {
                return Err(Duplicate(field).into());
            }
        }
        Ok(())
    }

    /// Stores the pair on a cluster, with the scope of the grant.
    pub(in crate::postgres) async fn insert(
        &self,
        connection: &mut PgConnection,
        issued_at: DateTime<Utc>,
        grant_id: Uuid,
        lifetimes: &Lifetimes,
    ) -> sqlx::Result<()> {
        self.insert_with_scope(connection, issued_at, grant_id, lifetimes, None).await
    }

    /// Stores the pair on a cluster, with its own scope if one is given.
    pub(super) async fn insert_with_scope(
        &self,
        connection: &mut PgConnection,
        issued_at: DateTime<Utc>,
        grant_id: Uuid,
        lifetimes: &Lifetimes,
        scope: Option<&str>,
    ) -> sqlx::Result<()> {
        let access = Some((self.access, "a", lifetimes.access_token));
        let refresh = self.refresh.map(|digest| (digest, "r", lifetimes.refresh_token));
        self.refuse_duplicates(connection).await?;
        for (digest, kind, lifetime) in access.into_iter().chain(refresh) {
            let expires_at = after(issued_at, lifetime);
            let row = NewTokenRow { kind, digest, issued_at, expires_at, grant_id, scope };
            row.insert(connection).await?;
        }
        Ok(())
    }
}

/// The digests of a batch as parameter arrays: the halves for the access tokens and for the refresh
/// tokens.
pub(in crate::postgres) struct PairColumns {
    pub(in crate::postgres) access: Vec<Uuid>,
    pub(in crate::postgres) access_tail: Vec<Uuid>,
    pub(in crate::postgres) refresh: Vec<Option<Uuid>>,
    pub(in crate::postgres) refresh_tail: Vec<Option<Uuid>>,
}

impl PairColumns {
    pub(in crate::postgres) fn new<'a>(pairs: impl Iterator<Item = &'a PairDigests>) -> Self {
        let (access, refresh): (Vec<_>, Vec<_>) =
            pairs.map(|pair| (pair.access, pair.refresh)).unzip();
        let (access, access_tail) = access.into_iter().unzip();
        let (refresh, refresh_tail) = refresh.into_iter().map(Option::unzip).unzip();
        Self { access, access_tail, refresh, refresh_tail }
    }
}

/// The lifetimes of a batch as parameter arrays, in microseconds.
pub(in crate::postgres) struct LifetimeColumns {
    pub(in crate::postgres) access_token: Vec<i64>,
    pub(in crate::postgres) refresh_token: Vec<i64>,
    pub(in crate::postgres) grant: Vec<i64>,
    pub(in crate::postgres) refresh_end: Vec<Option<i64>>,
}

impl LifetimeColumns {
    pub(in crate::postgres) fn new<'a>(
        lifetimes: impl Iterator<Item = &'a Lifetimes> + Clone,
    ) -> Self {
        Self {
            access_token: lifetimes.clone().map(|own| own.access_token).collect(),
            refresh_token: lifetimes.clone().map(|own| own.refresh_token).collect(),
            grant: lifetimes.clone().map(|own| own.grant).collect(),
            refresh_end: lifetimes.map(|own| own.refresh_end).collect(),
        }
    }
}
