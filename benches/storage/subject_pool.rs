//! What a competent developer would write for the same job on the same tables: one plain statement
//! for one row, on sqlx's pool.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use oauth_storage::Secret;
use serde_json::{Map, Value};
use sqlx::postgres::{PgPoolOptions, PgRow};
use sqlx::types::Json;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use crate::data::{self, World};
use crate::server::PATIENCE;

/// Enough for as many commits at a time as pay off; more are slower on few cores.
const CONNECTIONS: u32 = 16;

const COLUMNS: &str = "grant_id, kind::text AS kind, client_id, subject, scope, issued_at, \
     expires_at, context";

pub(crate) struct Pool {
    pool: PgPool,
    get_token: &'static str,
    introspect: &'static str,
}

/// The record, as any server would need it.
#[derive(FromRow)]
struct TokenRow {
    grant_id: Uuid,
    kind: String,
    client_id: String,
    subject: Option<String>,
    scope: String,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    context: Option<Json<Map<String, Value>>>,
}

impl TokenRow {
    /// A row is taken as a whole, and seen to be what was loaded.
    fn check(self, client_id: &str, grant_id: Uuid, subject: &str) {
        assert!(self.kind == "a" || self.kind == "r");
        assert!(self.issued_at < self.expires_at && self.scope == data::SCOPE);
        assert_eq!((self.client_id.as_str(), self.grant_id), (client_id, grant_id));
        assert_eq!(self.subject.as_deref(), Some(subject));
        assert!(self.context.is_none());
    }
}

#[derive(FromRow)]
struct ClientRow {
    client_id: String,
    client_id_issued_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    token_endpoint_auth_method: String,
    redirect_uris: Vec<String>,
    grant_types: Vec<String>,
    response_types: Vec<String>,
    scope: String,
    details: Json<Map<String, Value>>,
    client_secret_hash: Option<String>,
}

impl Pool {
    pub(crate) async fn connect(url: &str) -> Self {
        let options = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
        let pool = options.connect(url).await.unwrap();
        // Twice in a process, once a database: no leak to speak of.
        let leak = |sql: String| -> &'static str { sql.leak() };
        let get_token = leak(format!(
            "SELECT {COLUMNS}, CASE WHEN revoked THEN 'revoked'
                WHEN rotated_at IS NOT NULL THEN 'rotated'
                WHEN expires_at <= now() THEN 'expired' ELSE 'active' END AS state
             FROM oauth_storage.token WHERE digest = $1 AND client_id = $2"
        ));
        let introspect = leak(format!(
            "SELECT {COLUMNS} FROM oauth_storage.token
             WHERE digest = $1 AND NOT revoked AND rotated_at IS NULL AND expires_at > now()"
        ));
        Self { pool, get_token, introspect }
    }

    pub(crate) async fn get_token(&self, world: &World, n: u64) {
        let client_id = &world.client(n / 2).id;
        let digest = data::token(n).digest();
        let row: PgRow = sqlx::query(self.get_token)
            .bind(&digest.as_bytes()[..])
            .bind(client_id)
            .fetch_one(&self.pool)
            .await
            .unwrap();
        let state: String = sqlx::Row::get(&row, "state");
        assert_eq!(state, "active", "token {n}");
        let token = TokenRow::from_row(&row).unwrap();
        token.check(client_id, data::grant_of_pair(n / 2), &data::subject(n / 2));
    }

    pub(crate) async fn introspect(&self, world: &World, n: u64) {
        let digest = data::token(n).digest();
        let token: TokenRow = sqlx::query_as(self.introspect)
            .bind(&digest.as_bytes()[..])
            .fetch_one(&self.pool)
            .await
            .unwrap();
        let client_id = &world.client(n / 2).id;
        token.check(client_id, data::grant_of_pair(n / 2), &data::subject(n / 2));
    }

    pub(crate) async fn create_token(&self, world: &World, n: u64) {
        let (access, refresh) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        let stored: Vec<DateTime<Utc>> = sqlx::query_scalar(
            r#"INSERT INTO oauth_storage.token
                (issued_at, expires_at, grant_id, kind, digest, client_id, subject, scope)
             VALUES
                (now(), now() + interval '1 hour', $1, 'a', $2, $4, $5, $6),
                (now(), now() + interval '30 days', $1, 'r', $3, $4, $5, $6)
             RETURNING expires_at"#,
        )
        .bind(Uuid::now_v7())
        .bind(&access.digest().as_bytes()[..])
        .bind(&refresh.digest().as_bytes()[..])
        .bind(&world.client(n).id)
        .bind(data::subject(n))
        .bind(data::SCOPE)
        .fetch_all(&self.pool)
        .await
        .unwrap();
        assert_eq!(stored.len(), 2);
    }

    pub(crate) async fn redeem(&self, world: &World, k: u64) {
        let client_id = &world.client(k).id;
        let (access, refresh) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        let (grant_id, owner, subject): (Uuid, String, Option<String>) = sqlx::query_as(REDEEM)
            .bind(&data::code(k).digest().as_bytes()[..])
            .bind(client_id)
            .bind(data::REDIRECT_URI)
            .bind(oauth_storage::CodeChallenge::s256(&world.verifier).as_s256())
            .bind(&access.digest().as_bytes()[..])
            .bind(&refresh.digest().as_bytes()[..])
            .fetch_one(&self.pool)
            .await
            .unwrap();
        assert_eq!((grant_id, &owner), (data::grant_of_code(k), client_id));
        assert_eq!(subject.as_deref(), Some(data::subject(k).as_str()));
    }

    pub(crate) async fn rotate(&self, world: &World, pair: u64) {
        let client_id = &world.client(pair).id;
        let (access, refresh) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        let (grant_id, owner): (Uuid, String) = sqlx::query_as(ROTATE)
            .bind(&data::refresh_token(pair).digest().as_bytes()[..])
            .bind(client_id)
            .bind(&access.digest().as_bytes()[..])
            .bind(&refresh.digest().as_bytes()[..])
            .fetch_one(&self.pool)
            .await
            .unwrap();
        assert_eq!((grant_id, &owner), (data::grant_of_pair(pair), client_id));
    }

    pub(crate) async fn revoke_token(&self, world: &World, pair: u64) {
        let revoked = sqlx::query(REVOKE)
            .bind(&data::refresh_token(pair).digest().as_bytes()[..])
            .bind(&world.client(pair).id)
            .execute(&self.pool)
            .await
            .unwrap();
        assert_eq!(revoked.rows_affected(), 2, "pair {pair}");
    }

    pub(crate) async fn get_client(&self, world: &World, n: u64) {
        let client = world.client(n);
        let row: ClientRow = sqlx::query_as(
            "SELECT client_id, client_id_issued_at, updated_at, token_endpoint_auth_method,
                redirect_uris, grant_types, response_types, scope, details, client_secret_hash
             FROM oauth_storage.client
             WHERE client_id = $1 AND disabled_at IS NULL
                AND (client_secret_expires_at IS NULL OR client_secret_expires_at > now())",
        )
        .bind(&client.id)
        .fetch_one(&self.pool)
        .await
        .unwrap();
        let hash = URL_SAFE_NO_PAD.encode(client.secret.digest().as_bytes());
        let stored = row.client_secret_hash.unwrap();
        assert_eq!(stored.strip_prefix("sha256:"), Some(hash.as_str()));
        assert!(row.client_id == client.id && row.scope == data::SCOPE);
        assert!(row.client_id_issued_at <= row.updated_at && row.details.is_empty());
        assert_eq!(row.token_endpoint_auth_method, "client_secret_basic");
        assert_eq!([&row.redirect_uris, &row.response_types].map(Vec::len), [1, 1]);
        assert_eq!(row.grant_types.len(), 2);
    }
}

/// What goes from the row that is spent to the rows that are stored.
macro_rules! copied {
    () => {
        "grant_id, client_id, subject, scope, context"
    };
}

const REDEEM: &str = concat!(
    r#"WITH code AS (
        UPDATE oauth_storage.authorization_code SET consumed_at = now()
        WHERE digest = $1 AND client_id = $2 AND redirect_uri = $3 AND code_challenge = $4
            AND consumed_at IS NULL AND NOT revoked AND expires_at > now()
        RETURNING "#,
    copied!(),
    "), stored AS (
        INSERT INTO oauth_storage.token
            (issued_at, expires_at, kind, digest, ",
    copied!(),
    r#")
        SELECT now(), now() + new.lifetime, new.kind, new.digest, "#,
    copied!(),
    r#" FROM code CROSS JOIN (VALUES
            ('a'::"char", $5::bytea, interval '1 hour'), ('r', $6, interval '30 days')
        ) AS new (kind, digest, lifetime)
    )
    SELECT "#,
    copied!(),
    " FROM code",
);

const ROTATE: &str = concat!(
    "WITH old AS (
        UPDATE oauth_storage.token SET rotated_at = now()
        WHERE digest = $1 AND client_id = $2 AND kind = 'r'
            AND rotated_at IS NULL AND NOT revoked AND expires_at > now()
        RETURNING expires_at, ",
    copied!(),
    "), stored AS (
        INSERT INTO oauth_storage.token
            (issued_at, expires_at, kind, digest, ",
    copied!(),
    r#")
        SELECT now(), least(now() + new.lifetime, expires_at), new.kind, new.digest, "#,
    copied!(),
    r#" FROM old CROSS JOIN (VALUES
            ('a'::"char", $3::bytea, interval '1 hour'), ('r', $4, interval '100 years')
        ) AS new (kind, digest, lifetime)
    )
    SELECT "#,
    copied!(),
    " FROM old",
);

const REVOKE: &str = "UPDATE oauth_storage.token SET revoked = true
    WHERE NOT revoked AND grant_id =
        (SELECT grant_id FROM oauth_storage.token WHERE digest = $1 AND client_id = $2)";
