//! States that a test server cannot be brought into.

use super::super::finding::Severity;
use super::*;

fn server() -> Server {
    Server {
        version: "15.18".into(),
        version_number: 150_018,
        is_standby: false,
        now: local_clock(),
        address: None,
        is_tls: false,
        tls_version: None,
        role: "app".into(),
        is_superuser: false,
        keeps_parameters: true,
        fsync: true,
        full_page_writes: true,
        autovacuum: true,
        max_connections: 100,
        connections: 8,
    }
}

#[test]
fn what_is_wrong_with_a_server_is_found() {
    use Severity::{Error, Ok, Warning};
    let remote = Some("192.0.2.1".to_owned());
    let tls_version = Some("TLSv1.3".to_owned());
    for (finding, severity) in [
        (tls(&server()), Ok),
        (tls(&Server { address: Some("127.0.0.1".into()), ..server() }), Ok),
        (tls(&Server { address: remote.clone(), ..server() }), Warning),
        (tls(&Server { address: remote, is_tls: true, tls_version, ..server() }), Ok),
        (version(&server()), Ok),
        (version(&Server { version_number: 130_020, ..server() }), Error),
        (version(&Server { version_number: 190_000, ..server() }), Warning),
        (primary(&Server { is_standby: true, ..server() }), Error),
        (pooler(&server()), Ok),
        (pooler(&Server { keeps_parameters: false, ..server() }), Warning),
        (durability(&Server { fsync: false, ..server() }), Error),
        (durability(&Server { full_page_writes: false, ..server() }), Warning),
        (connections(&Server { connections: 79, ..server() }), Ok),
        (connections(&Server { connections: 80, ..server() }), Warning),
        (autovacuum(&Server { autovacuum: false, ..server() }), Error),
        (clock(TimeDelta::milliseconds(-1_900)), Ok),
        (clock(TimeDelta::seconds(-2)), Warning),
        (clock(TimeDelta::seconds(90)), Error),
        (round_trip(&server(), Duration::from_millis(4)), Ok),
        (round_trip(&server(), Duration::from_millis(20)), Warning),
    ] {
        assert_eq!(finding.severity, severity, "{finding:?}");
        assert_eq!(finding.action.is_none(), severity == Ok, "{finding:?}");
    }
}
