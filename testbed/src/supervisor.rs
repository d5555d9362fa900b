//! The shell script that runs a private server and outlives us for long enough to clean up.

use std::io::{BufRead, BufReader, Error, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Dropping it stops the server and removes the folder, and waits for both.
pub(crate) struct Supervisor {
    child: Child,
    /// The pipe whose end is the signal to clean up. The standard library marks it close-on-exec,
    /// so that no other child of ours keeps it open.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Supervisor {
    /// Makes the folder `dir`, for the user that the server shall run as.
    pub(crate) fn start(bin: &Path, dir: &Path) -> Result<Self, Error> {
        let mut command = Command::new("sh");
        command
            .args(["-c", include_str!("supervisor.sh"), "oauth-storage-testbed"])
            .args([bin, dir])
            .current_dir("/") // ours may be closed to the server's user
            .env("LC_ALL", "C") // messages we can read
            .env("TZ", "UTC") // or initdb would search for the machine's time zone
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

    /// Runs one of the script's commands; false if it failed.
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
        // Should it have failed, there is nobody left to tell.
        let _ = self.child.wait();
    }
}

/// Keeps a terminal's Ctrl-C from the server, and root too, whom PostgreSQL refuses to serve.
#[cfg(unix)]
fn set_apart(command: &mut Command) -> Result<(), Error> {
    use std::os::unix::process::CommandExt;

    command.process_group(0);
    let id = Command::new("id").arg("-u").output()?;
    if id.stdout.trim_ascii() != b"0" {
        return Ok(());
    }
    let accounts = std::fs::read_to_string("/etc/passwd")?;
    let (uid, gid) = ["postgres", "nobody"]
        .iter()
        .find_map(|user| account(&accounts, user))
        .ok_or_else(|| Error::other("root has neither `postgres` nor `nobody` to run it as"))?;
    command.uid(uid).gid(gid);
    Ok(())
}

/// A user's id and group, from the lines of `/etc/passwd`.
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
