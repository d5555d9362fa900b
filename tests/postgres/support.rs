//! One database for each test, and helpers.

use std::process::Command;
use std::time::Duration;

use oauth_storage::postgres::PgStorageBuilder;
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, NewClient, PgStorage, RequestContext, Scope, Secret,
    TokenPair, User,
};
use oauth_storage_testbed::{Cluster, Database};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

/// The redirect URI of the test clients.
pub(crate) const URI: &str = "https://client.example/cb";

/// A storage on its own database, which is dropped with it.
pub(crate) struct TestStorage {
    pub(crate) storage: PgStorage,
    pub(crate) database: Database,
}

impl TestStorage {
    /// Creates a storage with a deadline that is long enough on a busy machine.
    pub(crate) async fn new(label: &str) -> Self {
        let builder = PgStorage::builder().password_users();
        Self::with(label, builder.deadline(Duration::from_secs(20))).await
    }

    pub(crate) async fn with(label: &str, builder: PgStorageBuilder) -> Self {
        let database = database(label).await;
        let storage = builder.connect(database.url()).await.unwrap();
        storage.migrate().await.unwrap();
        database.distribute().await.unwrap();
        Self { storage, database }
    }

    /// Runs statements on another connection.
    pub(crate) async fn sql(&self, sql: &str) {
        run_sql(self.database.url(), sql).await;
    }

    /// Registers a client of the code flow with a secret.
    pub(crate) async fn client(&self) -> (String, Secret) {
        let metadata = ClientMetadata::authorization_code([URI]).with_scope(scope());
        let registered = self.storage.register_client(NewClient::new(metadata)).await.unwrap();
        (registered.client.client_id, registered.client_secret.unwrap())
    }
}

pub(crate) async fn database(label: &str) -> Database {
    oauth_storage_testbed::shared().await.unwrap().database(label).await.unwrap()
}

pub(crate) async fn run_sql(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// The URL with another user.
pub(crate) fn url_as(url: &str, user: &str, password: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let host = rest.split_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{user}:{password}@{host}")
}

/// A role name that no other run on the same server has.
pub(crate) fn unique(name: &str) -> String {
    format!("oauth_storage_test_{name}_{}", Uuid::new_v4().simple())
}

pub(crate) fn scope() -> Scope {
    "openid profile".parse().unwrap()
}

pub(crate) fn alice() -> RequestContext {
    RequestContext::for_user(User::new("alice"))
}

/// A secret that was made elsewhere, such as a JWT: it names no grant.
pub(crate) fn secret() -> Secret {
    Secret::new(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()))
}

pub(crate) fn pair() -> TokenPair {
    TokenPair::generate().unwrap()
}

pub(crate) fn access_token() -> TokenPair {
    pair().without_refresh_token()
}

/// The digest as the values of the columns `digest` and `digest_tail`.
pub(crate) fn digest(secret: &Secret) -> (Uuid, Uuid) {
    let digest = secret.digest();
    let (head, tail) = digest.as_bytes().split_at(16);
    (Uuid::from_slice(head).unwrap(), Uuid::from_slice(tail).unwrap())
}

/// SQL that stores grants with an active pair each, as `create_token` leaves them, and analyzes the
/// tables. Client and subject are expressions over `n`, which counts from 1.
pub(crate) fn store_grants(count: usize, client_id: &str, subject: &str) -> String {
    format!(
        "WITH made AS (
             INSERT INTO oauth_storage.authorization_grant
                 (granted_at, expires_at, grant_id, client_id, subject, scope)
             SELECT now(), now() + interval '90 days',
                 (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint + n), 12, '0') || '7'
                     || substr(md5(random()::text), 1, 3) || '8'
                     || substr(md5(random()::text), 1, 15))::uuid,
                 {client_id}, {subject}, 'openid profile'
             FROM generate_series(1, {count}) n
             RETURNING grant_id
         )
         INSERT INTO oauth_storage.token
             (issued_at, expires_at, grant_id, digest, digest_tail, kind)
         SELECT now(), now() + CASE kind WHEN 'a' THEN interval '1 hour' ELSE '90 days' END,
             grant_id, md5(kind || grant_id::text)::uuid, md5(grant_id::text || kind)::uuid,
             kind::\"char\"
         FROM made, unnest(ARRAY['a', 'r']) kind;
         ANALYZE oauth_storage.authorization_grant, oauth_storage.token"
    )
}

/// SQL that stores expired access tokens, each with its own grant: one every ten seconds, the newest a
/// moment ago.
pub(crate) fn store_expired_tokens(count: usize, client_id: &str) -> String {
    format!(
        "WITH made AS (
             INSERT INTO oauth_storage.authorization_grant
                 (granted_at, expires_at, grant_id, client_id, subject, scope)
             SELECT now() - interval '1 day', now() - n * interval '10 s', gen_random_uuid(),
                 '{client_id}', 'robot', 'openid profile'
             FROM generate_series(1, {count}) n
             RETURNING grant_id, expires_at
         )
         INSERT INTO oauth_storage.token
             (issued_at, expires_at, grant_id, digest, digest_tail, kind)
         SELECT now() - interval '1 day', expires_at, grant_id, md5(grant_id::text)::uuid,
             md5('tail' || grant_id::text)::uuid, 'a'
         FROM made;
         ANALYZE oauth_storage.authorization_grant, oauth_storage.token"
    )
}

/// Polls until the condition holds, or panics after ten seconds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("timed out: {what}");
}

/// The contents of a backup. Builds of PostgreSQL for embedding lack `pg_dump`; then the server exports
/// the schema as XML.
pub(crate) async fn dump(cluster: &Cluster, url: &str) -> Vec<u8> {
    let program = cluster.bin_dir().join("pg_dump");
    if program.is_file() {
        let dump = Command::new(program).arg(url).output().unwrap();
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        return dump.stdout;
    }
    let mut connection = PgConnection::connect(url).await.unwrap();
    let dump: String =
        sqlx::query_scalar("SELECT schema_to_xml('oauth_storage', true, false, '')::text")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    dump.into_bytes()
}
