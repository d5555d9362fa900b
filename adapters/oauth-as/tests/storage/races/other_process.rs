use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

/// Another process of this test binary, which runs one of the `child_…` tests.
pub(crate) struct OtherProcess {
    child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl OtherProcess {
    /// Starts it with its arguments, and waits until it is connected.
    pub(crate) async fn start(test: &str, input: &[String]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env("OAUTH_STORAGE_TEST_CHILD", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = child.stdin.as_mut().unwrap();
        for line in input {
            stdin.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        }
        stdin.write_all(b"\n").await.unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut other = Self { child, lines };
        assert_eq!(other.answer().await, "ready");
        other
    }

    pub(crate) async fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").await.unwrap();
        assert_eq!(self.answer().await, "gone");
    }

    /// The next line of the child. Lines of the test harness are skipped.
    pub(crate) async fn answer(&mut self) -> String {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            if let Some((_, answer)) = line.split_once("answer: ") {
                return answer.to_owned();
            }
        }
        panic!("the other process ended early");
    }
}

/// The arguments in the other process. `None` in the first one, where the test does nothing.
pub(crate) fn child_input() -> Option<Vec<String>> {
    std::env::var_os("OAUTH_STORAGE_TEST_CHILD")?;
    let lines = std::io::stdin().lines().map(Result::unwrap);
    Some(lines.take_while(|line| !line.is_empty()).collect())
}

/// Waits for the first process.
pub(crate) fn child_step() {
    let mut go = String::new();
    std::io::stdin().read_line(&mut go).unwrap();
    assert_eq!(go, "go\n");
    println!("answer: gone");
}
