//! `cargo run -p application` needs only Rust and the PostgreSQL programs. It starts its own database
//! server, or creates a database on the one that `DATABASE_URL` names.

use metrics_exporter_prometheus::PrometheusBuilder;
use oauth_storage::{PgStorage, postgres::NewUser};
use oauth_storage_axum::Purge;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).init();
    // Before the storage connects, because a storage keeps the counters it began with.
    let metrics = PrometheusBuilder::new().install_recorder()?;
    let testbed = oauth_storage_testbed::Testbed::start().await?;
    let database = testbed.database("application").await?;
    let storage = PgStorage::builder().password_users().connect(database.url()).await?;
    storage.migrate().await?;
    application::register_client(&storage).await?;
    storage.password_users().create(NewUser::new("alice", "1", "wonderland")).await?;
    let purge = Purge::every(std::time::Duration::from_mins(1)).spawn(storage.clone());
    let router = application::router(storage.clone(), metrics);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    println!("{testbed}\nlistening on http://127.0.0.1:8080 (alice / wonderland)");
    let end = async { tokio::signal::ctrl_c().await.unwrap_or(()) };
    axum::serve(listener, router).with_graceful_shutdown(end).await?;
    purge.stop().await;
    storage.close().await;
    database.close().await?;
    Ok(())
}
