//! `oauth-storage status`: the schema and what is in it.

use std::process::ExitCode;

use serde::Serialize;

use crate::context::Context;
use crate::error::Result;
use crate::output;

/// Shows whether the schema is up to date, and about how many rows each table has.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

#[derive(Serialize)]
struct Status {
    pending_migrations: Vec<i64>,
    tables: Vec<Table>,
}

#[derive(Serialize)]
struct Table {
    table: String,
    /// An estimate of PostgreSQL.
    rows: i64,
    bytes: i64,
}

pub(crate) async fn run(context: &Context) -> Result<ExitCode> {
    let storage = context.storage().await?;
    let pending = storage.pending_migrations().await?;
    storage.close().await;
    let mut connection = context.read_only(context.connect_options()?).await?;
    let tables = sqlx::query_file!("src/doctor/sql/tables.sql").fetch_all(&mut connection).await?;
    let tables = tables
        .into_iter()
        .filter(|own| own.table != "_sqlx_migrations")
        .map(|own| Table { table: own.table, rows: own.rows, bytes: own.bytes + own.index_bytes });
    let status = Status {
        pending_migrations: pending.iter().map(|own| own.version).collect(),
        tables: tables.collect(),
    };
    if context.is_json() {
        output::json(&status)?;
        return Ok(ExitCode::SUCCESS);
    }
    match status.pending_migrations.len() {
        0 => println!("the schema is up to date\n"),
        1 => println!("1 migration is pending: oauth-storage migrate\n"),
        more => println!("{more} migrations are pending: oauth-storage migrate\n"),
    }
    let mut table = output::table(&["TABLE", "ROWS", "SIZE"]);
    output::align_right(&mut table, &[1, 2]);
    for own in &status.tables {
        let size = indicatif::BinaryBytes(own.bytes.unsigned_abs()).to_string();
        table.add_row([own.table.clone(), output::number(own.rows), size]);
    }
    output::print(&table)?;
    Ok(ExitCode::SUCCESS)
}
