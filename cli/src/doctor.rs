//! `oauth-storage doctor`: what is wrong, and what to do about it.

mod backlog;
mod finding;
mod schema;
mod server;
mod tables;

use std::process::ExitCode;

use comfy_table::{Attribute, Cell, Color};

use crate::context::Context;
use crate::error::Result;
use crate::output;
use finding::{Finding, Severity};

/// Checks the server, the connection, the schema, the rights and the upkeep, and says what to do.
///
/// It only reads. Exit status: 0 if all is well, 5 with warnings, 6 with errors.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show only what needs attention.
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let mut findings = examine(context).await?;
    let worst = findings.iter().map(|own| own.severity).max().unwrap_or(Severity::Ok);
    if args.quiet {
        findings.retain(|own| own.severity > Severity::Ok);
    }
    if context.is_json() {
        output::json(&findings)?;
    } else {
        print(&findings)?;
    }
    Ok(ExitCode::from(match worst {
        Severity::Ok => 0,
        Severity::Warning => 5,
        Severity::Error => 6,
    }))
}

async fn examine(context: &Context) -> Result<Vec<Finding>> {
    let options = context.connect_options()?;
    let mut connection =
        match context.read_only(options.options([("oauth_storage.doctor", "on")])).await {
            Ok(connection) => connection,
            Err(error) => return Ok(vec![unreachable(&error.to_string())]),
        };
    let (mut findings, now) = server::check(&mut connection).await?;
    let storage = match context.storage().await {
        Ok(storage) => {
            findings.push(Finding::ok("settings", "those that decisions depend on are right"));
            storage
        }
        Err(error) => {
            let action = "The message names the setting. Nothing else was checked.";
            findings.push(Finding::error("settings", error.to_string(), action));
            return Ok(findings);
        }
    };
    let (schema, exists) = schema::migrations(&storage).await;
    storage.close().await;
    findings.push(schema);
    if !exists {
        return Ok(findings);
    }
    findings.extend(schema::rights(&mut connection).await?);
    findings.extend(tables::locks(&mut connection).await?);
    findings.extend(unless_locked(tables::check(&mut connection, now).await)?);
    if findings.iter().all(|own| own.check != "rights" || own.severity == Severity::Ok) {
        findings.extend(unless_locked(backlog::check(&mut connection, now).await)?);
    }
    Ok(findings)
}

/// Says so if a lock kept a check from looking at a table.
fn unless_locked(found: sqlx::Result<Vec<Finding>>) -> sqlx::Result<Vec<Finding>> {
    match found {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => {
            let action = "See who has the lock (SELECT * FROM pg_locks WHERE NOT granted), and run this again.";
            Ok(vec![Finding::error(
                "tables",
                "a table is locked, so nothing else can be read",
                action,
            )])
        }
        found => found,
    }
}

fn unreachable(message: &str) -> Finding {
    let action = if message.contains("unsupported startup parameter") {
        "Add ignore_startup_parameters = extra_float_digits, options to PgBouncer (docs/deployment.md)."
    } else {
        "Check the URL, the server, the network, the certificate and pg_hba.conf."
    };
    Finding::error("connection", message, action)
}

fn print(findings: &[Finding]) -> Result<()> {
    let colours = output::has_colours();
    let mut table = output::table(&["", "CHECK", "FOUND"]);
    for own in findings {
        let (sign, colour) = match own.severity {
            Severity::Ok => ("ok", Color::Green),
            Severity::Warning => ("warning", Color::Yellow),
            Severity::Error => ("error", Color::Red),
        };
        let mut sign = Cell::new(sign);
        if colours {
            sign = sign.fg(colour).add_attribute(Attribute::Bold);
        }
        let found = match &own.action {
            None => own.found.clone(),
            Some(action) => format!("{}\n→ {action}", own.found),
        };
        table.add_row(vec![sign, Cell::new(own.check), Cell::new(found)]);
    }
    output::print(&table)?;
    let number = |severity, name| {
        let found = findings.iter().filter(|own| own.severity == severity).count();
        output::count(found.try_into().unwrap_or(u64::MAX), name)
    };
    println!("\n{}, {}", number(Severity::Error, "error"), number(Severity::Warning, "warning"));
    Ok(())
}
