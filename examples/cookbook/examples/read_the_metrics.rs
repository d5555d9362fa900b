//! Exports the storage's metrics for Prometheus.
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use oauth_storage::postgres::telemetry;
use oauth_storage::{GrantStorage as _, PgStorage, Secret};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Before the storage connects: it keeps the counters that it began with.
    let duration = Matcher::Full(telemetry::OPERATION_DURATION.replace('.', "_"));
    let seconds = telemetry::OPERATION_DURATION_BUCKETS;
    let builder = PrometheusBuilder::new().set_buckets_for_metric(duration, &seconds)?;
    let metrics = builder.install_recorder()?;

    let testbed = oauth_storage_testbed::Testbed::start().await?;
    let database = testbed.database("metrics").await?;
    let storage = PgStorage::connect(database.url()).await?;
    storage.migrate().await?;
    storage.introspect(&Secret::generate()?).await?;

    let text = metrics.render(); // the body of GET /metrics
    let calls = telemetry::CALLS.replace('.', "_");
    for line in text.lines().filter(|line| line.starts_with(&calls) && line.ends_with('1')) {
        println!("{line}");
    }
    storage.close().await;
    Ok(())
}
