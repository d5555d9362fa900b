//! PostgreSQL's own load generator on the same statements: what the server can give at all.
//!
//! The digests are computed in the statement, as pgbench has no SHA-256; that is a microsecond or
//! so of the server's time, and a digest that is read from a table would cost more. What is spent is
//! numbered by the client itself (`:n` is kept from one transaction to the next), so that no
//! sequence is asked. Each lookup is a statement that returns the row, as for the others; pgbench
//! throws it away. That each found one is checked beforehand, on the same script (`\gset` fails
//! on anything but one row), and for what writes by counting the rows afterwards.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::data::{self, REDIRECT_URI, SCOPE, World};
use crate::load::{Measured, Phase};
use crate::operation::{MIX, Operation};

pub(crate) struct Pgbench {
    program: PathBuf,
    url: String,
    dir: PathBuf,
    scripts: u64,
}

const COLUMNS: &str = "grant_id, kind, client_id, subject, scope, issued_at, expires_at, context";
const COPIED: &str = "grant_id, client_id, subject, scope, context";

/// What a client does in a smoke run.
const SMOKE_TRANSACTIONS: u64 = 40;

impl Pgbench {
    /// Runs each lookup once with the check.
    pub(crate) async fn new(program: &Path, url: &str, world: &World) -> Self {
        let dir = std::env::temp_dir().join(format!("oauth-storage-bench-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut new = Self { program: program.to_owned(), url: url.to_owned(), dir, scripts: 0 };
        for operation in [Operation::GetToken, Operation::Introspect, Operation::GetClient] {
            let script = script(operation, world).replace(';', "\n\\gset");
            let file = new.file(&script);
            let phase = Phase {
                operation,
                tasks: 1,
                warm_up: Duration::ZERO,
                time: Duration::ZERO,
                spare: 0..0,
                seed: 1,
            };
            new.command(&phase, 1, &["-t", "200", "-f", &file]).await;
        }
        new
    }

    /// Runs a phase with so many clients.
    pub(crate) async fn run(&mut self, world: &World, phase: &Phase, clients: usize) -> Measured {
        // It takes whole seconds only; for less, a number of transactions each.
        // It opens its connections within that time, so many clients get more of it.
        let limit = match phase.time.as_secs_f64().round() {
            seconds if seconds >= 1.0 => {
                ["-T".to_owned(), (seconds + (clients / 100) as f64).to_string()]
            }
            _ => ["-t".to_owned(), SMOKE_TRANSACTIONS.to_string()],
        };
        let mut arguments = vec!["-l".to_owned()];
        arguments.extend(limit);
        let operations: Vec<(Operation, u64)> = match phase.operation {
            Operation::Mix => MIX.to_vec(),
            operation => vec![(operation, 1)],
        };
        for (operation, share) in &operations {
            let file = self.file(&script(*operation, world));
            arguments.extend(["-f".to_owned(), format!("{file}@{share}")]);
        }
        let log = self.dir.join("log");
        arguments.push(format!("--log-prefix={}", log.display()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = self.command(phase, clients, &arguments).await;

        let mut measured = self.read_logs(phase, &operations);
        // `tps = 12345.6 (without initial connection time)`; the time is what makes it so.
        let tps = output.lines().find_map(|line| line.strip_prefix("tps = "));
        let tps: Option<f64> = tps.and_then(|rest| rest.split(' ').next()?.parse().ok());
        // None when the time was over before the last client had connected; then nothing was done.
        measured.elapsed = tps.map_or(phase.time, |tps| {
            Duration::from_secs_f64(measured.latencies.len() as f64 / tps)
        });
        measured
    }

    /// `client transaction microseconds script …` a line; a file for each thread.
    fn read_logs(&self, phase: &Phase, operations: &[(Operation, u64)]) -> Measured {
        let mut measured = Measured::default();
        for entry in fs::read_dir(&self.dir).unwrap().map(Result::unwrap) {
            if !entry.file_name().to_string_lossy().starts_with("log") {
                continue;
            }
            for line in fs::read_to_string(entry.path()).unwrap().lines() {
                let mut fields = line.split(' ').skip(2);
                let time = fields.next().unwrap();
                let micros: u32 = time.parse().unwrap_or_else(|_| panic!("pgbench: {line}"));
                let script: usize = fields.next().unwrap().parse().unwrap();
                let operation = operations[script].0;
                measured.done.add(operation, 1);
                measured.latencies.push(micros);
                if phase.operation == Operation::Mix && operation == Operation::Introspect {
                    measured.lookups.push(micros);
                }
            }
            fs::remove_file(entry.path()).unwrap();
        }
        measured
    }

    fn file(&mut self, script: &str) -> String {
        self.scripts += 1;
        let path = self.dir.join(format!("{}.sql", self.scripts));
        fs::write(&path, script).unwrap();
        path.to_str().unwrap().to_owned()
    }

    async fn command(&self, phase: &Phase, clients: usize, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.program);
        command
            .args(["-n", "-M", "prepared", "-c", &clients.to_string()])
            .args(["-j", &clients.min(2).to_string(), "-D", "n=-1"])
            .args(["-D", &format!("clients={clients}")])
            .args(["-D", &format!("start={}", phase.spare.start)])
            .arg(format!("--random-seed={}", phase.seed))
            .args(arguments)
            // Not an argument: those are for everybody to see.
            .env("PGDATABASE", &self.url);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "pgbench: {}", text(&output.stderr));
        text(&output.stdout)
    }
}

impl Drop for Pgbench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// How many clients may be the best for so many callers. More than there are callers would be
/// another question.
pub(crate) fn clients(tasks: usize, most: usize) -> Vec<usize> {
    let mut clients: Vec<usize> =
        [8, 16, tasks].into_iter().filter(|clients| *clients <= tasks.min(most)).collect();
    clients.sort_unstable();
    clients.dedup();
    if clients.is_empty() { vec![most] } else { clients }
}

fn script(operation: Operation, world: &World) -> String {
    let mut script = String::new();
    let token = |n: &str| format!("sha256(('bench-token-' || {n})::bytea)");
    // `:n` counts this client's rows; together they use each row once.
    let next = "\\set n :n + 1\n\\set k :start + :n * :clients + :client_id\n";
    let refresh = "\\set t 2 * :k + 1\n";
    let random_digest = |i: &str| format!("sha256(('new-' || :r{i} || :s{i})::bytea)");
    let random = "\\set ra random(1, 9223372036854775806)\n\\set rr random(1, 9223372036854775806)\n\
        \\set sa random(1, 9223372036854775806)\n\\set sr random(1, 9223372036854775806)\n";
    let stored = |source: &str, expires_at: &str| {
        format!(
            "stored AS (INSERT INTO oauth_storage.token
                (issued_at, expires_at, kind, digest, {COPIED})
             SELECT now(), {expires_at}, new.kind, new.digest, {COPIED}
             FROM {source} CROSS JOIN (VALUES
                ('a'::\"char\", {}, interval '1 hour'), ('r', {}, interval '30 days')
             ) AS new (kind, digest, lifetime))",
            random_digest("a"),
            random_digest("r"),
        )
    };
    // Writing to a string cannot fail.
    let _ = match operation {
        Operation::GetToken => writeln!(
            script,
            "\\set t random(0, {})\nSELECT {COLUMNS}, CASE WHEN revoked THEN 'revoked' \
             WHEN rotated_at IS NOT NULL THEN 'rotated' WHEN expires_at <= now() THEN 'expired' \
             ELSE 'active' END AS state FROM oauth_storage.token \
             WHERE digest = {} AND client_id = {};",
            world.rows - 1,
            token(":t"),
            data::sql_client_id(":t::bigint / 2"),
        ),
        Operation::Introspect => writeln!(
            script,
            "\\set t random(0, {})\nSELECT {COLUMNS} FROM oauth_storage.token WHERE digest = {} \
             AND NOT revoked AND rotated_at IS NULL AND expires_at > now();",
            world.rows - 1,
            token(":t"),
        ),
        Operation::CreateToken => writeln!(
            script,
            "{random}\\set k random(0, {})\nINSERT INTO oauth_storage.token
                (issued_at, expires_at, grant_id, kind, digest, client_id, subject, scope)
             SELECT now(), now() + new.lifetime, new.grant_id, new.kind, new.digest, {client},
                {subject}, '{SCOPE}'
             FROM (SELECT gen_random_uuid() AS id OFFSET 0) AS g CROSS JOIN LATERAL (VALUES
                (g.id, 'a'::\"char\", {}, interval '1 hour'), (g.id, 'r', {}, interval '30 days')
             ) AS new (grant_id, kind, digest, lifetime) RETURNING expires_at;",
            world.rows - 1,
            random_digest("a"),
            random_digest("r"),
            client = data::sql_client_id(":k::bigint"),
            subject = data::sql_subject(":k::bigint"),
        ),
        Operation::Redeem => writeln!(
            script,
            "{next}{random}WITH code AS (
                UPDATE oauth_storage.authorization_code SET consumed_at = now()
                WHERE digest = sha256(('bench-code-' || :k)::bytea) AND client_id = {}
                    AND redirect_uri = '{REDIRECT_URI}' AND code_challenge = '{}'
                    AND consumed_at IS NULL AND NOT revoked AND expires_at > now()
                RETURNING {COPIED}
             ), {} SELECT {COPIED} FROM code;",
            data::sql_client_id(":k::bigint"),
            world.challenge.as_s256(),
            stored("code", "now() + new.lifetime"),
        ),
        Operation::Rotate => writeln!(
            script,
            "{next}{refresh}{random}WITH old AS (
                UPDATE oauth_storage.token SET rotated_at = now()
                WHERE digest = {} AND client_id = {} AND kind = 'r'
                    AND rotated_at IS NULL AND NOT revoked AND expires_at > now()
                RETURNING expires_at, {COPIED}
             ), {} SELECT {COPIED} FROM old;",
            token(":t"),
            data::sql_client_id(":k::bigint"),
            stored("old", "least(now() + new.lifetime, expires_at)"),
        ),
        Operation::RevokeToken => writeln!(
            script,
            "{next}{refresh}UPDATE oauth_storage.token SET revoked = true WHERE NOT revoked AND \
             grant_id = (SELECT grant_id FROM oauth_storage.token WHERE digest = {} \
             AND client_id = {});",
            token(":t"),
            data::sql_client_id(":k::bigint"),
        ),
        Operation::GetClient => writeln!(
            script,
            "\\set k random(0, 9)\nSELECT client_id, client_id_issued_at, updated_at, \
             token_endpoint_auth_method, redirect_uris, grant_types, response_types, scope, \
             details, client_secret_hash FROM oauth_storage.client WHERE client_id = {} \
             AND disabled_at IS NULL AND \
             (client_secret_expires_at IS NULL OR client_secret_expires_at > now());",
            data::sql_client_id(":k::bigint"),
        ),
        Operation::Mix
        | Operation::MixIntrospect
        | Operation::PurgeIntrospect
        | Operation::Purge => unreachable!("not a script"),
    };
    script
}
