//! Least privilege: a role with the rights of docs/deployment.md, and no others.

use std::sync::Arc;

use oauth_storage::jwt::{IdTokenSigner, SigningKey};
use oauth_storage::postgres::NewUser;
use oauth_storage::{
    ClientStorage as _, Error, GrantStorage as _, PgStorage, RequestContext, Secret,
    UserStorage as _,
};
use oauth_storage_conformance::Conformance;
use oauth_storage_testbed::Database;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::{database, run_sql, unique, url_as};

const DEPLOYMENT: &str = include_str!("../../docs/deployment.md");

/// The statements of docs/deployment.md, with another role than its `app`.
fn grants(role: &str) -> String {
    let begin = DEPLOYMENT.find("GRANT USAGE ON SCHEMA oauth_storage").unwrap();
    let (block, _) = DEPLOYMENT[begin..].split_once("```").unwrap();
    assert!(block.contains("TO app;"));
    block.replace("TO app;", &format!("TO {role};"))
}

/// A database that one role owns and migrates, and the other uses. Neither is a superuser.
struct Roles {
    database: Database,
    owner: String,
    app: String,
}

impl Roles {
    async fn new(label: &str) -> Self {
        let database = database(label).await;
        let roles = Self { owner: unique("owner"), app: unique("app"), database };
        let Self { database, owner, app } = &roles;
        let name = database.name();
        let create = format!(
            "CREATE ROLE {owner} LOGIN PASSWORD 'pw'; CREATE ROLE {app} LOGIN PASSWORD 'pw';
             GRANT CREATE ON DATABASE {name} TO {owner}"
        );
        run_sql(database.url(), &create).await;
        PgStorage::connect(&roles.url(owner)).await.unwrap().migrate().await.unwrap();
        run_sql(&roles.url(owner), &grants(app)).await;
        roles
    }

    fn url(&self, role: &str) -> String {
        url_as(self.database.url(), role, "pw")
    }

    async fn drop(self) {
        let Self { database, owner, app } = self;
        let drop = format!("DROP OWNED BY {owner}, {app} CASCADE; DROP ROLE {owner}, {app}");
        run_sql(database.url(), &drop).await;
    }
}

/// The operations of the contract, and those that the contract does not have.
#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rights_are_enough() {
    let roles = Roles::new("roles_enough").await;
    let signer = IdTokenSigner::new("https://issuer.example", SigningKey::generate().unwrap());
    let builder = PgStorage::builder().password_users().id_tokens(signer.unwrap());
    let storage = builder.connect(&roles.url(&roles.app)).await.unwrap();
    assert_eq!(storage.pending_migrations().await.unwrap(), []);
    storage.migrate().await.unwrap();

    let users = storage.password_users();
    let user = NewUser::new("alice", "248289761001", Secret::new("looking-glass"));
    users.create(user).await.unwrap();
    assert!(users.set_password("alice", Secret::new("wonderland")).await.unwrap());
    for disabled in [true, false] {
        assert!(users.set_disabled("alice", disabled).await.unwrap());
        let found = storage.authenticate("alice", &Secret::new("wonderland")).await.unwrap();
        assert_eq!(found.is_none(), disabled);
    }

    let suite = Conformance::new(Arc::new(storage.clone()));
    suite.user("alice", "wonderland", "248289761001").id_tokens().run().await;

    let mut connection = PgConnection::connect(&roles.url(&roles.app)).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    storage.with_connection(&mut transaction).revoke_subject("alice").await.unwrap();
    transaction.commit().await.unwrap();
    storage.close().await;
    roles.drop().await;
}

#[tokio::test]
async fn the_documented_rights_allow_nothing_else() {
    let roles = Roles::new("roles_refused").await;
    let mut connection = PgConnection::connect(&roles.url(&roles.app)).await.unwrap();
    for refused in [
        "CREATE TABLE oauth_storage.mine (id int)",
        "CREATE INDEX mine ON oauth_storage.token (issued_at)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION oauth_storage.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TRIGGER mine BEFORE INSERT ON oauth_storage.token
         FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "ALTER TABLE oauth_storage.token ADD COLUMN mine int",
        "ALTER TABLE oauth_storage.client DROP CONSTRAINT client_secret_hashed",
        "ALTER TABLE oauth_storage.client DISABLE TRIGGER ALL",
        "DROP TABLE oauth_storage.token",
        "DROP INDEX oauth_storage.token_expires_at",
        "DROP SCHEMA oauth_storage CASCADE",
        "TRUNCATE oauth_storage.token",
        "DELETE FROM oauth_storage._sqlx_migrations",
        "UPDATE oauth_storage._sqlx_migrations SET checksum = ''",
        "INSERT INTO oauth_storage._sqlx_migrations VALUES (1, '', now(), true, '', 0)",
    ] {
        let error = sqlx::raw_sql(refused).execute(&mut connection).await.unwrap_err();
        let code = error.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("42501"), "{refused}: {error}");
    }
    // It cannot grant its rights to others: PostgreSQL only warns.
    for granted in ["SELECT", "DELETE"] {
        let grant = format!("GRANT {granted} ON oauth_storage.token TO PUBLIC");
        sqlx::raw_sql(AssertSqlSafe(grant)).execute(&mut connection).await.unwrap();
    }
    let handed_on: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM information_schema.table_privileges
         WHERE table_schema = 'oauth_storage' AND grantee = 'PUBLIC'",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(handed_on, 0);
    connection.close().await.unwrap();
    roles.drop().await;
}

/// The owner must migrate before the application uses a newer version.
#[tokio::test]
async fn without_the_right_to_migrate_a_pending_migration_is_denied() {
    let roles = Roles::new("roles_pending").await;
    let undo = "DROP TABLE oauth_storage.signing_key;
         DELETE FROM oauth_storage._sqlx_migrations
         WHERE version = (SELECT max(version) FROM oauth_storage._sqlx_migrations)";
    run_sql(&roles.url(&roles.owner), undo).await;
    let storage = PgStorage::connect(&roles.url(&roles.app)).await.unwrap();
    assert_eq!(storage.pending_migrations().await.unwrap().len(), 1);
    let error = storage.migrate().await.unwrap_err();
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error}");
    assert!(storage.get_client(&RequestContext::default(), "c", None).await.unwrap().is_none());
    storage.close().await;
    roles.drop().await;
}
