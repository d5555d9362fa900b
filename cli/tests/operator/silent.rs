//! A server that does not answer, and text that would control a terminal.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use oauth_storage::{ClientMetadata, ClientRegistry as _, NewClient};
use serde_json::{Value, json};

use crate::support::{Test, program, run};

/// Accepts connections and is silent.
fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://nobody@{}/nothing", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let connections: Vec<_> = listener.incoming().collect();
        drop(connections);
    });
    url
}

#[test]
fn a_server_that_does_not_answer_is_reported() {
    let url = silent();
    let commands: [(&[&str], i32); 6] = [
        (&["doctor", "--json"], 6),
        (&["keys", "list"], 1),
        (&["token", "inspect"], 1),
        (&["top"], 1),
        (&["status"], 1),
        (&["grants", "list", "--client", "c"], 1),
    ];
    let started = Instant::now();
    let runs = commands.map(|(arguments, status)| {
        let url = url.clone();
        let ran = std::thread::spawn(move || run(&url, arguments, "oas_x"));
        (arguments, status, ran)
    });
    for (arguments, status, ran) in runs {
        let ran = ran.join().unwrap();
        assert_eq!(ran.status, status, "{arguments:?}: {ran:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
}

/// Forwards to a server until it is frozen.
fn proxy(url: &str, is_frozen: &Arc<AtomicBool>) -> String {
    let url: url::Url = url.parse().unwrap();
    let server = (url.host_str().unwrap().to_owned(), url.port().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let is_frozen = Arc::clone(is_frozen);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            for (mut from, mut to) in
                [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
            {
                let is_frozen = Arc::clone(&is_frozen);
                std::thread::spawn(move || {
                    let mut buffer = [0; 16_384];
                    while let Ok(read @ 1..) = from.read(&mut buffer) {
                        while is_frozen.load(Ordering::Relaxed) {
                            std::thread::sleep(Duration::from_millis(50));
                        }
                        if to.write_all(&buffer[..read]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    let mut proxied = url;
    proxied.set_host(Some("127.0.0.1")).unwrap();
    proxied.set_port(Some(port)).unwrap();
    proxied.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn top_ends_at_a_signal_while_the_server_does_not_answer() {
    let test = Test::new("cli_frozen").await;
    let is_frozen = Arc::new(AtomicBool::new(false));
    let mut top = program()
        .args(["top", "--json", "--every", "100ms"])
        .env("OAUTH_STORAGE_DATABASE_URL", proxy(test.database.url(), &is_frozen))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(top.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        lines.next().unwrap().unwrap();
    }
    is_frozen.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let kill = Command::new("kill").args(["-INT", &top.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let started = Instant::now();
    let status = loop {
        if let Some(status) = top.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "top has not ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(status.success(), "{status}");
}

/// Anybody can register such a client where registration is open.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_registered_does_not_control_the_terminal() {
    let test = Test::new("cli_hostile").await;
    let hostile = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{7f}\r\u{202e}";
    let mut metadata = ClientMetadata::authorization_code(["https://client.example/cb"]);
    metadata.details.contacts = vec![hostile.into()];
    for (name, value) in [("note", json!(hostile)), (hostile, json!(["x", hostile]))] {
        metadata.details.other.insert(name.to_owned(), value);
    }
    let refused = test.storage.register_client(NewClient::new(metadata.clone())).await;
    if refused.is_err() {
        // The contacts are checked; other members are not.
        metadata.details.contacts.clear();
    }
    let new = NewClient::new(metadata).with_client_id("c");
    test.storage.register_client(new).await.unwrap();
    let is_harmless = |text: &str| !text.contains(|c: char| c.is_control() && c != '\n');
    for arguments in [
        &["client", "show", "c"][..],
        &["client", "list"],
        &["client", "show", "c", "--json"],
        &["client", "list", "--json"],
        &["client", "export"],
    ] {
        let out = tokio::task::block_in_place(|| test.run(arguments).out);
        assert!(!out.is_empty() && is_harmless(&out), "{arguments:?}: {out:?}");
    }
    let json = tokio::task::block_in_place(|| test.run(&["client", "show", "c", "--json"]).out);
    let shown: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(shown["note"], hostile, "the same value, in escapes");
}
