//! The server, the connection and the role.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection as _, PgConnection};

use super::finding::Finding;
use crate::error::{Error, Result};
use crate::output::local_clock;

/// The oldest and the newest version that the tests of the crate run on.
const VERSIONS: std::ops::RangeInclusive<i32> = 14..=18;

/// A round trip from which on each call is noticeably slow.
const SLOW_ROUND_TRIP: Duration = Duration::from_millis(5);

/// Clocks further apart than this confuse the times that people compare.
const CLOCK_WARNING: TimeDelta = TimeDelta::seconds(2);

/// Clocks further apart than this make a signed token expired, or not yet valid.
const CLOCK_ERROR: TimeDelta = TimeDelta::seconds(60);

struct Server {
    version: String,
    version_number: i32,
    is_standby: bool,
    now: DateTime<Utc>,
    address: Option<String>,
    is_tls: bool,
    tls_version: Option<String>,
    role: String,
    is_superuser: bool,
    keeps_parameters: bool,
    fsync: bool,
    full_page_writes: bool,
    autovacuum: bool,
    max_connections: i64,
    connections: i64,
}

/// The findings, with what other checks need.
pub(super) struct Checked {
    pub(super) findings: Vec<Finding>,
    /// The server's clock, by which rows are aged.
    pub(super) now: DateTime<Utc>,
    /// The role whose rights are checked.
    pub(super) role: String,
}

/// Checks the server, and the role that is named, or else that of the connection.
pub(super) async fn check(connection: &mut PgConnection, role: Option<&str>) -> Result<Checked> {
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        connection.ping().await?;
        fastest = fastest.min(began.elapsed());
    }
    let before = local_clock();
    let server = sqlx::query_file_as!(Server, "src/doctor/sql/server.sql", role)
        .fetch_optional(&mut *connection)
        .await?;
    let server = server.ok_or_else(|| {
        Error::NotFound(format!("there is no role {:?}", role.unwrap_or_default()))
    })?;
    let middle = before + (local_clock() - before) / 2;
    let findings = vec![
        round_trip(&server, fastest),
        tls(&server),
        version(&server),
        primary(&server),
        privileges(&server),
        pooler(&server),
        durability(&server),
        connections(&server),
        clock(server.now - middle),
        autovacuum(&server),
    ];
    Ok(Checked { findings, now: server.now, role: server.role })
}

fn round_trip(server: &Server, fastest: Duration) -> Finding {
    let place = server.address.as_deref().unwrap_or("a Unix socket");
    let found = format!("{place}, a round trip takes {:.1} ms", fastest.as_secs_f64() * 1e3);
    if fastest < SLOW_ROUND_TRIP {
        return Finding::ok("connection", found);
    }
    Finding::warning(
        "connection",
        found,
        "Each call takes at least one round trip. Move the server or the application, or use more lanes.",
    )
}

fn tls(server: &Server) -> Finding {
    let is_local = server
        .address
        .as_deref()
        .is_none_or(|address| address.starts_with("127.") || address == "::1");
    match &server.tls_version {
        Some(version) if server.is_tls => Finding::ok("TLS", version.clone()),
        _ if is_local => Finding::ok("TLS", "none, and none is needed on this machine"),
        _ => Finding::warning(
            "TLS",
            "none: the password and all digests cross the network in the clear",
            "Set sslmode=verify-full and sslrootcert in the URL (docs/deployment.md).",
        ),
    }
}

fn version(server: &Server) -> Finding {
    let found = format!("PostgreSQL {}", server.version);
    let major = server.version_number / 10_000;
    if VERSIONS.contains(&major) {
        return Finding::ok("version", found);
    }
    let (oldest, newest) = (VERSIONS.start(), VERSIONS.end());
    if major < *oldest {
        return Finding::error("version", found, format!("Upgrade to {oldest} or newer."));
    }
    Finding::warning("version", found, format!("The crate is tested on {oldest} to {newest}."))
}

fn primary(server: &Server) -> Finding {
    if server.is_standby {
        return Finding::error(
            "primary",
            "the server is a standby, so a revoked token can be active on it",
            "Use an address that leads to the primary.",
        );
    }
    Finding::ok("primary", "the server accepts writes")
}

fn privileges(server: &Server) -> Finding {
    if server.is_superuser {
        return Finding::warning(
            "role",
            format!("{} is a superuser", server.role),
            "Let the application connect as a role with only the rights of docs/deployment.md.",
        );
    }
    Finding::ok("role", server.role.clone())
}

fn pooler(server: &Server) -> Finding {
    if server.keeps_parameters {
        return Finding::ok("pooler", "none, or one that keeps the parameters of a connection");
    }
    Finding::warning(
        "pooler",
        "a pooler drops the parameters of a connection",
        "Check PgBouncer's settings and those of the role (docs/deployment.md, PgBouncer).",
    )
}

fn durability(server: &Server) -> Finding {
    if !server.fsync {
        return Finding::error(
            "durability",
            "fsync is off: a crash of the machine can destroy the database",
            "Set fsync = on.",
        );
    }
    if !server.full_page_writes {
        return Finding::warning(
            "durability",
            "full_page_writes is off",
            "Set it to on, unless the file system never writes half a page.",
        );
    }
    Finding::ok("durability", "fsync and full_page_writes are on")
}

fn connections(server: &Server) -> Finding {
    let (used, max) = (server.connections, server.max_connections);
    let found = format!("{used} of {max} are in use");
    if used * 5 < max * 4 {
        return Finding::ok("connections", found);
    }
    Finding::warning(
        "connections",
        found,
        "A node needs 2 × lanes + max_connections (8 by default). Raise max_connections of the \
         server, or end sessions that nobody uses.",
    )
}

fn clock(offset: TimeDelta) -> Finding {
    let seconds = offset.as_seconds_f64();
    let found = format!("the server's clock is {seconds:+.1} s from that of this machine");
    let action = "Synchronize both machines (NTP). Expiry is decided by the server's clock, and the \
                  times in JWTs by the application's.";
    match offset.abs() {
        apart if apart >= CLOCK_ERROR => Finding::error("clock", found, action),
        apart if apart >= CLOCK_WARNING => Finding::warning("clock", found, action),
        _ => Finding::ok("clock", found),
    }
}

fn autovacuum(server: &Server) -> Finding {
    if server.autovacuum {
        return Finding::ok("autovacuum", "on");
    }
    Finding::error(
        "autovacuum",
        "off: the tables grow until the disk is full",
        "Set autovacuum = on and track_counts = on.",
    )
}

#[cfg(test)]
mod tests;
