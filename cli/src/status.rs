//! `oauth-storage status`: the schema and the size of its tables.

use std::process::ExitCode;

use serde::Serialize;

use crate::context::{Context, answered};
use crate::error::Result;
use crate::output;

/// Show whether the schema is up to date, and about how many rows each table has.
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
    let tables = sqlx::query_file!("src/sql/tables.sql").fetch_all(&mut connection);
    let tables = answered(tables).await?;
    let tables = tables
        .into_iter()
        .filter(|row| row.table != "_sqlx_migrations")
        .map(|row| Table { table: row.table, rows: row.rows, bytes: row.bytes + row.index_bytes });
    let status = Status {
        pending_migrations: pending.iter().map(|migration| migration.version).collect(),
        tables: tables.collect(),
    };
    if context.is_json() {
        output::json(&status)?;
        return Ok(ExitCode::SUCCESS);
    }
    match status.pending_migrations.len() as u64 {
        0 => output::line("the schema is up to date\n")?,
        pending => {
            let pending = output::count(pending, "pending migration");
            output::line(&format!("{pending}: oauth-storage migrate\n"))?;
        }
    }
    let mut table = output::table(&["TABLE", "ROWS", "SIZE"]);
    output::align_right(&mut table, &[1, 2]);
    for row in &status.tables {
        let size = indicatif::BinaryBytes(row.bytes.unsigned_abs()).to_string();
        table.add_row([row.table.clone(), output::number(row.rows), size]);
    }
    output::print(&table)?;
    Ok(ExitCode::SUCCESS)
}
