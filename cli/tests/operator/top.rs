use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::support::Test;

/// Responds to each request with the metrics of a process that has done more in the meantime.
fn metrics() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let calls = 1_000 * (n + 1);
            let body = format!(
                "# TYPE oauth_storage_calls counter\n\
                 oauth_storage_calls{{db_operation_name=\"introspect\"}} {calls}\n\
                 # TYPE db_client_connection_count gauge\n\
                 db_client_connection_count{{db_client_connection_pool_name=\"read\",\
                 db_client_connection_state=\"used\"}} 2\n"
            );
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn top_shows_what_happens_now() {
    let test = Arc::new(Test::new("cli_top").await);
    let client = test.client().await;
    let busy = Arc::clone(&test);
    let writer = tokio::spawn(async move {
        loop {
            busy.tokens(&client, "alice").await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let url = metrics();
    let arguments = ["top", "--count", "4", "--every", "1s", "--metrics", &url, "--json"];
    let out = tokio::task::block_in_place(|| test.run(&arguments).ok().out);
    let readings: Vec<Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(readings.len(), 4);
    let calls = &readings[0]["process"]["operations"]["introspect"]["calls_per_second"];
    assert!(calls.as_f64().unwrap() > 0.0, "{calls}");
    assert_eq!(readings[0]["process"]["lanes"]["read"]["used"], 2.0);
    let stored = |reading: &Value| {
        let tables = reading["tables"].as_array().unwrap();
        let token = tables.iter().find(|row| row["table"] == "token").unwrap();
        token["inserted_per_second"].as_f64().unwrap()
    };
    assert!(readings.iter().any(|reading| stored(reading) > 0.0), "{readings:?}");
    let text = tokio::task::block_in_place(|| {
        test.run(&["top", "--count", "1", "--every", "100ms"]).ok().out
    });
    assert!(text.contains("authorization_grant") && text.contains("OLDEST EXPIRED"), "{text}");
    assert!(!text.contains('\x1b'), "no escapes where it is no terminal");
    writer.abort();
}
