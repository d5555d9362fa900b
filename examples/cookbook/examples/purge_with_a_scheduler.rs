//! Removes expired rows every hour, in batches, until the application stops.
use std::time::Duration;

use oauth_storage::{GrantStorageExt as _, MemoryStorage};
use tokio::time::{MissedTickBehavior, interval, timeout};

async fn purge_hourly(storage: MemoryStorage) {
    let mut hour = interval(Duration::from_hours(1));
    hour.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        hour.tick().await;
        match storage.purge().await {
            Ok(purged) => println!("{} tokens removed", purged.tokens),
            Err(error) => println!("the next hour continues: {error}"),
        }
    }
}

#[tokio::main]
async fn main() {
    let purge = tokio::spawn(purge_hourly(MemoryStorage::new()));
    // The application serves until it is stopped.
    let _ = timeout(Duration::from_millis(100), std::future::pending::<()>()).await;
    purge.abort();
}
