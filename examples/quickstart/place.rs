//! The place of the records: PostgreSQL, or memory where there is no PostgreSQL.

use std::sync::Arc;

use oauth_storage::jwt::IdTokenSigner;
use oauth_storage::postgres::NewUser;
use oauth_storage::{GrantStorage as _, MemoryStorage, PgStorage, Secret, Storage, User};
use oauth_storage_testbed::{Database, Error, Testbed};
use sqlx::Row as _;

use crate::{Result, expect, step};

pub(crate) enum Place {
    PostgreSql { storage: PgStorage, database: Database, _testbed: Box<Testbed> },
    Memory(MemoryStorage),
}

impl Place {
    /// Opens a storage for the walk, whose only user has this name, subject and password.
    pub(crate) async fn open(signer: IdTokenSigner, user: (&str, &str, &str)) -> Result<Self> {
        let testbed = match Testbed::start().await {
            Err(Error::NotFound { .. }) => {
                println!(
                    "MemoryStorage, because no PostgreSQL was found \
                     (`cargo run -p oauth-storage-testbed` says where)"
                );
                println!(
                    "on PostgreSQL: run `DATABASE_URL=postgres://user:password@host/database \
                     cargo run --example quickstart`, or install PostgreSQL and run it again\n"
                );
                let (username, subject, password) = user;
                let storage = MemoryStorage::new()
                    .with_user(username, password, User::new(subject))
                    .with_id_tokens(signer);
                return Ok(Self::Memory(storage));
            }
            testbed => testbed?,
        };
        println!("{testbed}\n");
        let database = testbed.database("quickstart").await?;
        let storage = step("connect to the database", async {
            let builder = PgStorage::builder().password_users().id_tokens(signer);
            let storage = builder.connect(database.url()).await?;
            Ok((storage, "connected".into()))
        })
        .await?;
        step("migrate the schema", async {
            let pending = storage.pending_migrations().await?.len();
            storage.migrate().await?;
            Ok(((), format!("{pending} migrations applied")))
        })
        .await?;
        step("create the user alice", async {
            let (username, subject, password) = user;
            let user = NewUser::new(username, subject, Secret::new(password));
            let user = storage.password_users().create(user).await?;
            Ok(((), format!("subject {}, the password as an Argon2id hash", user.subject)))
        })
        .await?;
        Ok(Self::PostgreSql { storage, database, _testbed: Box::new(testbed) })
    }

    pub(crate) fn storage(&self) -> Arc<dyn Storage> {
        match self {
            Self::PostgreSql { storage, .. } => Arc::new(storage.clone()),
            Self::Memory(storage) => Arc::new(storage.clone()),
        }
    }

    /// Prints the rows that the walk stored.
    pub(crate) async fn show(&self) -> Result<()> {
        match self {
            Self::PostgreSql { storage, .. } => show_database(storage).await,
            Self::Memory(_) => Ok(()),
        }
    }

    /// Checks that nothing of an erased subject is left. Returns what was erased besides the grants.
    pub(crate) async fn check_erased(&self, subject: &str) -> Result<&'static str> {
        match self {
            Self::PostgreSql { storage, .. } => {
                expect(rows_that_name(storage, subject).await? == 0, "no row names her")?;
                Ok(" and her account deleted; no row names her")
            }
            Self::Memory(storage) => {
                let left = storage.erase_subject(subject).await?;
                expect(left == 0, "a second erasure finds no grant")?;
                Ok(" deleted; a second erasure finds none")
            }
        }
    }

    /// Ends the storage. Returns the end of the last line.
    pub(crate) async fn close(self) -> Result<&'static str> {
        match self {
            Self::PostgreSql { storage, database, .. } => {
                storage.close().await;
                database.close().await?;
                Ok("")
            }
            Self::Memory(_) => Ok(" (in memory)"),
        }
    }
}

/// Prints the rows that the walk stored: digests, hashes and metadata.
async fn show_database(storage: &PgStorage) -> Result<()> {
    println!("\nthe rows in the database (no secrets, only digests and hashes):");
    for query in [
        "SELECT 'client' AS name, client_id || '  ' || (details->>'client_name') || '  '
             || coalesce(left(client_secret_hash, 15) || '…', 'no secret') AS row
         FROM oauth_storage.client ORDER BY client_id_issued_at",
        "SELECT 'user_account', username || '  ' || subject || '  '
             || left(password_hash, 30) || '…' FROM oauth_storage.user_account",
        "SELECT 'authorization_grant', grant_id || '  ' || coalesce(subject, 'no user     ')
             || CASE WHEN revoked_at IS NULL THEN '  active   ' ELSE '  revoked  ' END || scope
         FROM oauth_storage.authorization_grant ORDER BY granted_at",
        "SELECT 'token', left(digest::text, 18) || '…  of …' || right(grant_id::text, 12)
             || CASE kind WHEN 'a' THEN '  access' ELSE '  refresh' END
             || CASE WHEN rotated_at IS NULL THEN '' ELSE ', rotated' END
         FROM oauth_storage.token ORDER BY issued_at, kind",
    ] {
        for row in sqlx::query(query).fetch_all(storage.pool()).await? {
            println!("  {:<20} {}", row.get::<&str, _>(0), row.get::<&str, _>(1));
        }
    }
    println!();
    Ok(())
}

/// Counts the rows of the tables that could name a subject.
async fn rows_that_name(storage: &PgStorage, subject: &str) -> Result<i64> {
    let count = "SELECT count(*) FROM (
             SELECT to_jsonb(a) AS row FROM oauth_storage.authorization_grant a
             UNION ALL SELECT to_jsonb(a) FROM oauth_storage.authorization_code a
             UNION ALL SELECT to_jsonb(a) FROM oauth_storage.token a
             UNION ALL SELECT to_jsonb(a) FROM oauth_storage.user_account a
         ) AS rows WHERE strpos(row::text, $1) > 0";
    Ok(sqlx::query_scalar(count).bind(subject).fetch_one(storage.pool()).await?)
}
