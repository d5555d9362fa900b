//! The dashboard, the alerts and the runbook of `docs/`, against what the storage records.

mod promql;

use std::collections::{BTreeMap, BTreeSet};

use metrics_util::MetricKind;
use metrics_util::debugging::DebuggingRecorder;
use oauth_storage::postgres::telemetry;
use oauth_storage::token::NewToken;
use oauth_storage::{
    AuthorizationCodeStorage as _, CodeRedemption, GrantStorage as _, NewAuthorizationCode,
    TokenPair, TokenStorage as _,
};
use serde_json::Value;

use self::promql::Expression;
use crate::support::{TestStorage, URI, alice, scope, secret};

const DASHBOARD: &str = include_str!("../../../docs/monitoring/dashboard.json");
const ALERTS: &str = include_str!("../../../docs/monitoring/alerts.yml");
const RUNBOOK: &str = include_str!("../../../docs/operations.md");
const ERRORS: &str = include_str!("../../../src/error.rs");

/// Labels that Prometheus adds.
const OF_THE_SCRAPE: [&str; 2] = ["instance", "job"];

/// A metric in the names of the exporter for Prometheus.
struct Metric {
    kind: MetricKind,
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// Makes the storage record each of its metrics, and returns them.
async fn recorded() -> BTreeMap<String, Metric> {
    let recorder: &'static DebuggingRecorder = Box::leak(Box::default());
    let _local = metrics::set_default_local_recorder(recorder);
    let test = TestStorage::new("monitoring").await;
    let (storage, (client_id, _)) = (&test.storage, test.client().await);
    let code = secret();
    let new = NewAuthorizationCode::new(&client_id, scope(), URI, code.clone());
    storage.create_authorization_code(&alice(), new.clone()).await.unwrap();
    storage.create_authorization_code(&alice(), new).await.unwrap_err();
    let redemption = CodeRedemption::new(&client_id, URI, code);
    for _ in 0..2 {
        let _ = storage.redeem_authorization_code(&alice(), redemption.clone()).await.unwrap();
    }
    let new = NewToken::new(&client_id, scope(), TokenPair::generate().unwrap());
    let token = storage.create_token(&alice(), new).await.unwrap();
    storage.revoke_grant(token.grant_id).await.unwrap();
    storage.introspect(&secret()).await.unwrap();

    let prometheus = |name: &str| name.replace('.', "_");
    let mut metrics = BTreeMap::new();
    for (key, ..) in recorder.snapshotter().snapshot().into_vec() {
        let metric = metrics
            .entry(prometheus(key.key().name()))
            .or_insert_with(|| Metric { kind: key.kind(), labels: BTreeMap::new() });
        for label in key.key().labels() {
            let values = metric.labels.entry(prometheus(label.key())).or_default();
            values.insert(label.value().to_owned());
        }
    }
    // Any call can fail.
    let operations = metrics["oauth_storage_calls"].labels["db_operation_name"].clone();
    for metric in metrics.values_mut() {
        if let Some(kinds) = metric.labels.get_mut("error_type") {
            kinds.extend(error_kinds());
            metric.labels.insert("db_operation_name".to_owned(), operations.clone());
        }
        if let Some(credentials) = metric.labels.get_mut("oauth_storage_credential") {
            credentials.insert("refresh_token".to_owned());
        }
    }
    metrics
}

/// The values of `error.type`.
fn error_kinds() -> BTreeSet<String> {
    let (_, kind) = ERRORS.split_once("const fn kind(&self)").unwrap();
    let (kind, _) = kind.split_once("\n    }\n").unwrap();
    let kinds = kind.lines().filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","));
    kinds.chain(["cancelled"]).map(str::to_owned).collect()
}

/// The alerts: name, expression and the fragment of its runbook.
fn alerts() -> Vec<(String, String, String)> {
    let mut alerts: Vec<(String, String, String)> = Vec::new();
    let mut in_expression = false;
    for line in ALERTS.lines() {
        let indented = line.starts_with("          ");
        if let Some(name) = line.trim().strip_prefix("- alert: ") {
            alerts.push((name.to_owned(), String::new(), String::new()));
        } else if line.trim() == "expr: |" {
            in_expression = true;
        } else if in_expression && indented {
            alerts.last_mut().unwrap().1.push_str(line);
        } else {
            in_expression = false;
            if let Some(url) = line.trim().strip_prefix("runbook_url: ") {
                alerts.last_mut().unwrap().2 = url.split_once('#').unwrap().1.to_owned();
            }
        }
    }
    alerts
}

/// The expressions of the panels.
fn panels(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("expr").map(|expr| expr.as_str().unwrap().to_owned()));
            members.values().for_each(|member| panels(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| panels(item, found)),
        _ => {}
    }
}

/// Returns the metrics of an expression, or says what the storage does not record.
fn check(expression: &str, metrics: &BTreeMap<String, Metric>) -> Result<Vec<String>, String> {
    let Expression { selectors, groupings } = Expression::parse(expression)?;
    let mut used = Vec::new();
    for (series, matchers) in selectors {
        let suffix = ["_bucket", "_sum", "_count"].into_iter().find(|&suffix| {
            let name = series.strip_suffix(suffix);
            name.and_then(|name| metrics.get(name)).is_some_and(|m| m.kind == MetricKind::Histogram)
        });
        let name = series.strip_suffix(suffix.unwrap_or_default()).unwrap_or(&series);
        let metric = metrics.get(name).ok_or(format!("no metric {series}"))?;
        if suffix.is_none() && metric.kind == MetricKind::Histogram {
            return Err(format!("{series} is a histogram"));
        }
        let exists = |label: &str| {
            OF_THE_SCRAPE.contains(&label)
                || metric.labels.contains_key(label)
                || label == "le" && suffix == Some("_bucket")
        };
        for (label, value) in &matchers {
            let values = metric.labels.get(label);
            let known = |value: &str| values.is_none_or(|values| values.contains(value));
            if !exists(label) || value != "$instance" && !value.split('|').all(known) {
                return Err(format!("{series} has no {label}={value}"));
            }
        }
        if let Some(label) = groupings.iter().find(|label| !exists(label)) {
            return Err(format!("{series} has no {label}"));
        }
        used.push(name.to_owned());
    }
    Ok(used)
}

#[tokio::test]
async fn dashboard_and_alerts_use_what_is_recorded() {
    let metrics = recorded().await;
    let constants = [
        telemetry::OPERATION_DURATION,
        telemetry::CALLS,
        telemetry::ERRORS,
        telemetry::REPLAYS,
        telemetry::REVOCATIONS,
        telemetry::BATCH_SIZE,
        telemetry::QUEUE_LENGTH,
        telemetry::CONNECTED_LANES,
        telemetry::BROKEN_LANES,
    ];
    let constants: BTreeSet<String> = constants.iter().map(|n| n.replace('.', "_")).collect();
    let names: BTreeSet<String> = metrics.keys().cloned().collect();
    assert_eq!(names, constants, "the walk misses a metric, or a metric has no constant");

    let mut expressions = Vec::new();
    panels(&serde_json::from_str(DASHBOARD).unwrap(), &mut expressions);
    let mut shown = BTreeSet::new();
    for expression in &expressions {
        shown.extend(check(expression, &metrics).unwrap_or_else(|no| panic!("{expression}: {no}")));
    }
    assert_eq!(shown, names, "the dashboard shows every metric");
    for (alert, expression, _) in alerts() {
        let used = check(&expression, &metrics).unwrap_or_else(|no| panic!("{alert}: {no}"));
        assert!(!used.is_empty(), "{alert}");
    }

    for (wrong, reason) in [
        ("sum(rate(oauth_storage_call[5m]))", "no metric oauth_storage_call"),
        ("sum by (error_type) (oauth_storage_calls)", "oauth_storage_calls has no error_type"),
        (
            "oauth_storage_errors{error_type=~\"schema|unknown\"}",
            "oauth_storage_errors has no error_type=schema|unknown",
        ),
        ("rate(oauth_storage_batch_size[5m])", "oauth_storage_batch_size is a histogram"),
        ("oauth_storage_calls_count", "no metric oauth_storage_calls_count"),
    ] {
        assert_eq!(check(wrong, &metrics).unwrap_err(), reason);
    }
}

#[test]
fn every_alert_and_every_error_is_in_the_runbook() {
    let section = |from: &str| RUNBOOK.split_once(from).unwrap().1.split("\n## ").next().unwrap();
    let entries: BTreeMap<&str, &str> = section("\n## Alerts\n")
        .split("\n### ")
        .skip(1)
        .map(|entry| entry.split_once('\n').unwrap())
        .collect();
    let alerts = alerts();
    let named: BTreeSet<&str> = alerts.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(entries.keys().copied().collect::<BTreeSet<_>>(), named);
    for (name, _, fragment) in &alerts {
        assert_eq!(*fragment, name.to_lowercase(), "the fragment of its heading");
        for part in ["- *Symptom*: ", "- *Cause*: ", "- *Action*: "] {
            assert!(entries[name.as_str()].contains(part), "{name} lacks {part}");
        }
    }

    let mut kinds = BTreeSet::new();
    for row in
        section("\n## Each `error.type`\n").lines().filter(|line| line.starts_with("| `")).skip(1)
    {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [kind, _changed, _symptom, _cause, _action, alert] = cells[..] else {
            panic!("six cells: {row}")
        };
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{row}");
        kinds.insert(kind.trim_matches('`').to_owned());
        if alert != "none" {
            let link = alert.split_once("](#").unwrap().1.trim_end_matches(')');
            assert!(named.iter().any(|name| name.to_lowercase() == link), "{row}");
        }
    }
    assert_eq!(kinds, error_kinds());
}
