//! The shell script that runs a private server, and outlives this process to clean up.

use std::io::{BufRead, BufReader, Error, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
#[cfg(unix)]
use std::sync::OnceLock;

/// The running script. Dropping it stops the server, removes the folder and waits for both.
pub(crate) struct Supervisor {
    child: Child,
    /// The pipe of commands. The script cleans up when it closes. The standard library marks it
    /// close-on-exec, so no other child process keeps it open.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Supervisor {
    /// Creates the folder `dir` as the user that runs the server.
    pub(crate) fn start(bin: &Path, dir: &Path) -> Result<Self, Error> {
        let mut command = Command::new("sh");
        command
            .args(["-c", include_str!("supervisor.sh"), "oauth-storage-testbed"])
            .args([bin, dir])
            .current_dir("/") // the current one may be unreadable for the server's user
            .env("LC_ALL", "C") // for messages in English
            .env("TZ", "UTC") // otherwise initdb searches for the machine's time zone
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        #[cfg(unix)]
        set_apart(&mut command)?;

        let mut child = command.spawn()?;
        let (Some(commands), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::other("no pipe to the supervisor"));
        };
        let answers = BufReader::new(answers);
        let mut supervisor = Self { child, commands: Some(commands), answers };
        match supervisor.answer()?.as_str() {
            "ok" => Ok(supervisor),
            refusal => Err(Error::other(refusal.to_owned())),
        }
    }

    /// Runs one of the script's commands. Returns false if it failed.
    pub(crate) fn run(&mut self, command: &str) -> Result<bool, Error> {
        if let Some(commands) = &mut self.commands {
            commands.write_all(format!("{command}\n").as_bytes())?;
        }
        Ok(self.answer()? == "ok")
    }

    fn answer(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(Error::other("the supervisor is gone"));
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.commands = None;
        // A failure cannot be reported here.
        let _ = self.child.wait();
    }
}

/// Protects the server from a Ctrl-C on the terminal. Root runs it as another user, because PostgreSQL
/// refuses to run as root.
#[cfg(unix)]
fn set_apart(command: &mut Command) -> Result<(), Error> {
    use std::os::unix::process::CommandExt;

    command.process_group(0);
    as_server_user(command)
}

/// Lets a command run as the user that runs the server.
#[cfg(unix)]
pub(crate) fn as_server_user(command: &mut Command) -> Result<(), Error> {
    use std::os::unix::process::CommandExt;

    if is_root() {
        let accounts = std::fs::read_to_string("/etc/passwd")?;
        let (uid, gid) = ["postgres", "nobody"]
            .iter()
            .find_map(|user| account(&accounts, user))
            .ok_or_else(|| Error::other("root has neither `postgres` nor `nobody` to run it as"))?;
        command.uid(uid).gid(gid);
    }
    Ok(())
}

/// Returns true if this process runs as root.
#[cfg(unix)]
pub(crate) fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| {
        let id = Command::new("id").arg("-u").output();
        id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
    })
}

/// The id and the group of a user, from the lines of `/etc/passwd`.
#[cfg(unix)]
fn account(accounts: &str, user: &str) -> Option<(u32, u32)> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == user).then_some(())?;
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

#[cfg(all(test, unix))]
#[test]
fn reads_accounts() {
    let accounts = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65533:nobody:/:/bin/false\n";
    assert_eq!(account(accounts, "nobody"), Some((65534, 65533)));
    assert_eq!(account(accounts, "postgres"), None);
}
