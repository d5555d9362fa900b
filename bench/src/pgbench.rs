//! PostgreSQL's own load generator on the same statements: the limit of the server itself.
//!
//! pgbench has no SHA-256, so the statement computes the digests of existing credentials, which takes
//! the server some microseconds. Each client numbers the rows that it spends (`:n` keeps its value
//! between transactions), which needs no sequence. pgbench discards the rows of a lookup, so a run
//! of the same script checks beforehand that each is found (`\gset` fails on anything but one row).
//! Writes are checked by counting rows afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::data::{DEVICES, REDIRECT_URI, SCOPE, World, sql};
use crate::load::{Measured, Phase};
use crate::operation::{MIX, Operation};
use crate::statements;

pub(crate) struct Pgbench {
    program: PathBuf,
    url: String,
    dir: PathBuf,
    scripts: u64,
}

/// The transactions of each client in a smoke run.
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
        // pgbench takes whole seconds; shorter runs are given as a number of transactions. It opens its
        // connections within that time, so many clients get more of it.
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
        // `tps = 12345.6 (without initial connection time)`, from which the time follows.
        let tps = output.lines().find_map(|line| line.strip_prefix("tps = "));
        let tps: Option<f64> = tps.and_then(|rest| rest.split(' ').next()?.parse().ok());
        // `None` if the time was over before the last client had connected: no call was made.
        measured.elapsed = tps.map_or(phase.time, |tps| {
            Duration::from_secs_f64(measured.latencies.len() as f64 / tps)
        });
        measured
    }

    /// Reads the logs, one file per thread, with lines of `client transaction microseconds script …`.
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
            // Not an argument, because everybody can see those.
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

/// The numbers of clients to try for so many callers: never more than there are callers.
pub(crate) fn clients(tasks: usize, most: usize) -> Vec<usize> {
    let mut clients: Vec<usize> =
        [8, 16, tasks].into_iter().filter(|clients| *clients <= tasks.min(most)).collect();
    clients.sort_unstable();
    clients.dedup();
    if clients.is_empty() { vec![most] } else { clients }
}

/// The plain statement with an expression in place of each parameter.
fn script(operation: Operation, world: &World) -> String {
    // `:n` counts this client's rows; together they use each row once.
    let next = "\\set n :n + 1\n\\set k :start + :n * :clients + :client_id\n";
    let any_token = format!("\\set t random(0, {})\n", world.rows - 1);
    let digest = |grant_id: String, n: &str| sql::halves(&sql::digest(&grant_id, n));
    // Integers are as wide as their values: a product of two could overflow.
    let [t, k] = ["(:t)::bigint", "(:k)::bigint"];
    let pair_of_t = format!("({t} / 2)");
    let token = |t: &str, pair: &str| digest(sql::grant_of_pair(pair), t);
    let refresh = || token(&format!("(2 * {k} + 1)"), k);
    let new_grant = "(lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') \
                     || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid";
    // Both halves of both digests of a new pair.
    let new_pair = || vec!["gen_random_uuid()".to_owned(); 4];
    let text = |text: &str| format!("'{text}'");

    let (set, statement, parameters) = match operation {
        Operation::GetToken => {
            let client = sql::client_id(&pair_of_t);
            let parameters = [token(t, &pair_of_t).to_vec(), vec![client]].concat();
            (any_token, statements::GET_TOKEN, parameters)
        }
        Operation::Introspect => (any_token, statements::INTROSPECT, token(t, &pair_of_t).to_vec()),
        Operation::CreateToken => {
            let owner = vec![sql::client_id(k), sql::subject(k), text(SCOPE)];
            let parameters = [vec![new_grant.to_owned()], new_pair(), owner].concat();
            let set = format!("\\set k random(0, {})\n", world.rows - 1);
            (set, statements::CREATE_TOKEN, parameters)
        }
        Operation::Redeem => {
            let code = digest(sql::grant_of_code(k), k).to_vec();
            let request =
                vec![sql::client_id(k), text(REDIRECT_URI), text(world.challenge.as_s256())];
            (next.to_owned(), statements::REDEEM, [code, request, new_pair()].concat())
        }
        Operation::Rotate => {
            let parameters = [refresh().to_vec(), vec![sql::client_id(k)], new_pair()].concat();
            (next.to_owned(), statements::ROTATE, parameters)
        }
        Operation::RevokeToken => {
            let parameters = [refresh().to_vec(), vec![sql::client_id(k)]].concat();
            (next.to_owned(), statements::REVOKE_TOKEN, parameters)
        }
        Operation::GetClient => {
            ("\\set k random(0, 9)\n".to_owned(), statements::GET_CLIENT, vec![sql::client_id(k)])
        }
        Operation::Claim => {
            let identifier = vec!["gen_random_uuid()".to_owned(); 2];
            (String::new(), statements::CLAIM, identifier)
        }
        Operation::Poll => {
            let device = digest(sql::grant_of_device(k), k).to_vec();
            let set = format!("\\set k random(0, {})\n", DEVICES - 1);
            (set, statements::POLL, [device, vec![sql::client_id(k)]].concat())
        }
        Operation::Mix
        | Operation::MixIntrospect
        | Operation::PurgeIntrospect
        | Operation::Purge => unreachable!("not a script"),
    };
    // From the last: `$1` is the start of `$10`.
    let parameters = parameters.iter().enumerate().rev();
    let statement = parameters.fold(statement.trim().to_owned(), |statement, (i, parameter)| {
        statement.replace(&format!("${}", i + 1), parameter)
    });
    format!("{set}{statement};\n")
}
