//! Plain SQL: one statement for one row ([`statements`]), on sqlx's pool.

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
use crate::statements;

/// The best number of concurrent commits; more are slower on few cores.
const CONNECTIONS: u32 = 16;

pub(crate) struct Pool {
    pool: PgPool,
}

/// The columns that any server needs.
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
    /// Checks every column against the loaded row.
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
        Self::with_connections(url, CONNECTIONS).await
    }

    pub(crate) async fn with_connections(url: &str, connections: u32) -> Self {
        let options = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(PATIENCE)
            // An application with a single connection would not make this round trip.
            .test_before_acquire(connections > 1);
        Self { pool: options.connect(url).await.unwrap() }
    }

    pub(crate) async fn get_token(&self, world: &World, n: u64) {
        let client_id = &world.client(n / 2).id;
        let [digest, tail] = data::halves(&data::token(n).digest());
        let row: PgRow = sqlx::query(statements::GET_TOKEN)
            .bind(digest)
            .bind(tail)
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
        let [digest, tail] = data::halves(&data::token(n).digest());
        let token: TokenRow = sqlx::query_as(statements::INTROSPECT)
            .bind(digest)
            .bind(tail)
            .fetch_one(&self.pool)
            .await
            .unwrap();
        let client_id = &world.client(n / 2).id;
        token.check(client_id, data::grant_of_pair(n / 2), &data::subject(n / 2));
    }

    pub(crate) async fn create_token(&self, world: &World, n: u64) {
        let grant_id = Uuid::now_v7();
        let [access, refresh] = new_pair(grant_id);
        let stored: Vec<DateTime<Utc>> = sqlx::query_scalar(statements::CREATE_TOKEN)
            .bind(grant_id)
            .bind(access[0])
            .bind(access[1])
            .bind(refresh[0])
            .bind(refresh[1])
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
        let [digest, tail] = data::halves(&data::code(k).digest());
        let [access, refresh] = new_pair(data::grant_of_code(k));
        let (grant_id, owner, subject): (Uuid, String, Option<String>) =
            sqlx::query_as(statements::REDEEM)
                .bind(digest)
                .bind(tail)
                .bind(client_id)
                .bind(data::REDIRECT_URI)
                .bind(
                    oauth_storage::authorization_code::CodeChallenge::s256(&world.verifier)
                        .as_s256(),
                )
                .bind(access[0])
                .bind(access[1])
                .bind(refresh[0])
                .bind(refresh[1])
                .fetch_one(&self.pool)
                .await
                .unwrap();
        assert_eq!((grant_id, &owner), (data::grant_of_code(k), client_id));
        assert_eq!(subject.as_deref(), Some(data::subject(k).as_str()));
    }

    pub(crate) async fn rotate(&self, world: &World, pair: u64) {
        let client_id = &world.client(pair).id;
        let [digest, tail] = data::halves(&data::refresh_token(pair).digest());
        let [access, refresh] = new_pair(data::grant_of_pair(pair));
        let (grant_id, owner): (Uuid, String) = sqlx::query_as(statements::ROTATE)
            .bind(digest)
            .bind(tail)
            .bind(client_id)
            .bind(access[0])
            .bind(access[1])
            .bind(refresh[0])
            .bind(refresh[1])
            .fetch_one(&self.pool)
            .await
            .unwrap();
        assert_eq!((grant_id, &owner), (data::grant_of_pair(pair), client_id));
    }

    pub(crate) async fn revoke_token(&self, world: &World, pair: u64) {
        let [digest, tail] = data::halves(&data::refresh_token(pair).digest());
        let revoked = sqlx::query(statements::REVOKE_TOKEN)
            .bind(digest)
            .bind(tail)
            .bind(&world.client(pair).id)
            .execute(&self.pool)
            .await
            .unwrap();
        assert_eq!(revoked.rows_affected(), 1, "pair {pair}");
    }

    pub(crate) async fn claim(&self) {
        let [digest, tail] = data::halves(&Secret::new(Uuid::now_v7().to_string()).digest());
        let claimed = sqlx::query(statements::CLAIM)
            .bind(digest)
            .bind(tail)
            .execute(&self.pool)
            .await
            .unwrap();
        assert_eq!(claimed.rows_affected(), 1);
    }

    pub(crate) async fn poll(&self, world: &World, n: u64) {
        let n = n % data::DEVICES;
        let [digest, tail] = data::halves(&data::device(n).digest());
        let state: String = sqlx::query_scalar(statements::POLL)
            .bind(digest)
            .bind(tail)
            .bind(&world.client(n).id)
            .fetch_one(&self.pool)
            .await
            .unwrap();
        assert_eq!(state, "p");
    }

    pub(crate) async fn get_client(&self, world: &World, n: u64) {
        let client = world.client(n);
        let row: ClientRow = sqlx::query_as(statements::GET_CLIENT)
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

/// The digests of an access token and a refresh token of this grant.
fn new_pair(grant_id: Uuid) -> [[Uuid; 2]; 2] {
    [(); 2].map(|()| data::halves(&Secret::generate_for(grant_id).unwrap().digest()))
}
