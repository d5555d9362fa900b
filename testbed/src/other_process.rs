//! A second process of a test, for races that one process cannot show.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a part of tests, which fail by panicking")]

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

/// Another process of the running test binary, which runs one test.
#[derive(Debug)]
pub struct OtherProcess {
    child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl OtherProcess {
    /// Starts the test with this path, gives it its arguments, and waits until it has answered `ready`.
    ///
    /// # Panics
    /// If it ends early.
    pub async fn start(test: &str, input: &[String]) -> Self {
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

    /// Lets it begin.
    ///
    /// # Panics
    /// If it has ended.
    pub async fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").await.unwrap();
        assert_eq!(self.answer().await, "gone");
    }

    /// The next line of the child that begins with `answer: `.
    ///
    /// # Panics
    /// If it ends without one.
    pub async fn answer(&mut self) -> String {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            if let Some((_, answer)) = line.split_once("answer: ") {
                return answer.to_owned();
            }
        }
        panic!("the other process ended early");
    }
}

/// The arguments in the other process. `None` in the first one, where the test does nothing.
///
/// # Panics
/// If the standard input is not text.
pub fn child_input() -> Option<Vec<String>> {
    std::env::var_os("OAUTH_STORAGE_TEST_CHILD")?;
    let lines = std::io::stdin().lines().map(Result::unwrap);
    Some(lines.take_while(|line| !line.is_empty()).collect())
}

/// Waits for the first process to call [`OtherProcess::go`]. Blocks the thread.
///
/// # Panics
/// If that process has ended.
pub fn child_step() {
    let mut go = String::new();
    std::io::stdin().read_line(&mut go).unwrap();
    assert_eq!(go, "go\n");
    println!("answer: gone");
}
