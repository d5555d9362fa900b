//! A database for each test, and the program.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use oauth_storage::token::NewToken;
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, NewClient, PgStorage, RequestContext, Scope, Secret,
    TokenPair, TokenStorage as _, User,
};
use oauth_storage_testbed::Database;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// A database with the schema.
pub(crate) struct Test {
    pub(crate) storage: PgStorage,
    pub(crate) database: Database,
}

impl Test {
    pub(crate) async fn new(label: &str) -> Self {
        let database = empty(label).await;
        let storage = PgStorage::builder().password_users().connect(database.url()).await.unwrap();
        storage.migrate().await.unwrap();
        Self { storage, database }
    }

    pub(crate) async fn sql(&self, sql: &str) {
        let mut connection = PgConnection::connect(self.database.url()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    pub(crate) async fn client(&self) -> String {
        let metadata =
            ClientMetadata::authorization_code(["https://client.example/cb"]).with_scope(scope());
        let registered = self.storage.register_client(NewClient::new(metadata)).await.unwrap();
        registered.client.client_id
    }

    /// Stores a pair for a subject and returns it.
    pub(crate) async fn tokens(&self, client_id: &str, subject: &str) -> TokenPair {
        let tokens = TokenPair::generate().unwrap();
        let request = RequestContext::for_user(User::new(subject));
        let new = NewToken::new(client_id, scope(), tokens.clone());
        self.storage.create_token(&request, new).await.unwrap();
        tokens
    }

    /// Runs the program on the database.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "")
    }

    /// Runs the program with a standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        run(self.database.url(), arguments, input)
    }
}

pub(crate) async fn empty(label: &str) -> Database {
    oauth_storage_testbed::shared().await.unwrap().database(label).await.unwrap()
}

pub(crate) fn scope() -> Scope {
    "openid profile".parse().unwrap()
}

/// The program without any variable of this process but those that it needs.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oauth-storage"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

pub(crate) fn run(url: &str, arguments: &[&str], input: &str) -> Ran {
    let mut child = program()
        .args(arguments)
        .env("OAUTH_STORAGE_DATABASE_URL", url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The program may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Ran::new(child.wait_with_output().unwrap(), url)
}

/// The outcome of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    fn new(output: Output, url: &str) -> Self {
        let ran = Self {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        };
        // Whatever happens, the URL is not printed.
        let all = [&ran.out, &ran.err];
        assert!(all.iter().all(|text| !text.contains("://") || !text.contains(url)), "{ran:?}");
        ran
    }

    /// Asserts that it succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!((self.status, &*self.err), (0, ""), "{self:?}");
        self
    }

    /// Asserts that it failed with one line that contains a text.
    #[track_caller]
    pub(crate) fn failed(self, status: i32, says: &str) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.err.contains(says) && self.err.lines().count() == 1, "{self:?}");
        self
    }

    /// Asserts that it failed with one line, and wrote nothing else.
    #[track_caller]
    pub(crate) fn failed_and_silent(self, status: i32) -> Self {
        assert_eq!((self.status, &*self.out), (status, ""), "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        self
    }

    /// Asserts that it failed, whatever it says.
    #[track_caller]
    pub(crate) fn failed_with(self, status: i32) {
        assert_eq!(self.status, status, "{self:?}");
    }

    /// The output as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok().out).unwrap()
    }
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text)
}
