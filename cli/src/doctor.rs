//! `oauth-storage doctor`: checks with remedies.

mod backlog;
mod finding;
mod schema;
mod server;
mod tables;

use std::borrow::Cow;
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{Attribute, Cell, Color};
use tokio::time::timeout;

use crate::context::Context;
use crate::error::Result;
use crate::output;
use finding::{Finding, Severity};

/// The time in which all has to be checked.
const ALL: Duration = Duration::from_secs(60);

/// Check the server, the connection, the schema, the rights and the upkeep, and show remedies.
///
/// It only reads. Exit status: 0 if all is well, 5 with warnings, 6 with errors.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show only what needs attention.
    #[arg(long, short)]
    quiet: bool,
    /// The role whose rights are checked, such as that of the application; that of the connection by default.
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let mut findings = Vec::new();
    let examined = timeout(ALL, examine(&mut findings, args.role.as_deref(), context)).await;
    if let Ok(examined) = examined {
        examined?;
    } else {
        let found = format!("not done after {} s, so the rest was not checked", ALL.as_secs());
        let action = "See what is slow: oauth-storage top, or docs/operations.md, When it is slow.";
        findings.push(Finding::error("duration", found, action));
    }
    let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
    if args.quiet {
        findings.retain(|finding| finding.severity > Severity::Ok);
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

async fn examine(findings: &mut Vec<Finding>, role: Option<&str>, context: &Context) -> Result<()> {
    let options = context.connect_options()?;
    let mut connection =
        match context.read_only(options.options([("oauth_storage.doctor", "on")])).await {
            Ok(connection) => connection,
            Err(error) => {
                findings.push(unreachable(&error.to_string()));
                return Ok(());
            }
        };
    let checked = server::check(&mut connection, role).await?;
    let server::Checked { findings: found, now, role } = checked;
    findings.extend(found);
    let storage = match context.storage().await {
        Ok(storage) => {
            findings.push(Finding::ok("settings", "all that decisions depend on are right"));
            storage
        }
        Err(error) => {
            let action = "The message names the setting. Nothing else was checked.";
            findings.push(Finding::error("settings", error.to_string(), action));
            return Ok(());
        }
    };
    let (schema, exists) = schema::migrations(&storage).await;
    storage.close().await;
    findings.push(schema);
    if !exists {
        return Ok(());
    }
    findings.extend(schema::rights(&mut connection, &role).await?);
    findings.extend(tables::locks(&mut connection).await?);
    findings.extend(unless_unreadable(tables::check(&mut connection, now).await)?);
    findings.extend(unless_unreadable(backlog::check(&mut connection, now).await)?);
    Ok(())
}

/// The findings, or one that says why a table could not be read.
fn unless_unreadable(found: sqlx::Result<Vec<Finding>>) -> sqlx::Result<Vec<Finding>> {
    let Err(sqlx::Error::Database(error)) = &found else { return found };
    let code = error.code().map(Cow::into_owned);
    let finding = match code.as_deref() {
        // lock_not_available
        Some("55P03") => Finding::error(
            "tables",
            "a table is locked, so nothing else can be read",
            "See who has the lock (SELECT * FROM pg_locks WHERE NOT granted), and run this again.",
        ),
        // query_canceled
        Some("57014") => Finding::warning(
            "tables",
            "a check took longer than 20 s and was stopped, so nothing else was checked",
            "Run this again when the server is less busy.",
        ),
        // insufficient_privilege
        Some("42501") => Finding::warning(
            "tables",
            "the role of this connection may not read them, so nothing else was checked",
            "Connect as a role with SELECT on the schema; --role names the role to check.",
        ),
        _ => return found,
    };
    Ok(vec![finding])
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
    for finding in findings {
        let (sign, colour) = match finding.severity {
            Severity::Ok => ("ok", Color::Green),
            Severity::Warning => ("warning", Color::Yellow),
            Severity::Error => ("error", Color::Red),
        };
        let mut sign = Cell::new(sign);
        if colours {
            sign = sign.fg(colour).add_attribute(Attribute::Bold);
        }
        let text = match &finding.action {
            None => finding.found.clone(),
            Some(action) => format!("{}\n→ {action}", finding.found),
        };
        let found = Cell::new(output::visible(&text));
        table.add_row(vec![sign, Cell::new(finding.check), found]);
    }
    // With --quiet there may be none.
    if !findings.is_empty() {
        output::print_coloured(&table)?;
        output::line("")?;
    }
    let number = |severity, name| {
        let found = findings.iter().filter(|finding| finding.severity == severity).count();
        output::count(found as u64, name)
    };
    let (errors, warnings) =
        (number(Severity::Error, "error"), number(Severity::Warning, "warning"));
    output::line(&format!("{errors}, {warnings}"))
}
