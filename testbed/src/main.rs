//! Runs a throwaway PostgreSQL until Ctrl-C: `cargo run -p oauth-storage-testbed`.

use oauth_storage_testbed::{Cluster, Error};

fn main() -> std::process::ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let failure = match runtime {
        Ok(runtime) => {
            runtime.block_on(serve()).map_or_else(|error| error.to_string(), |never| match never {})
        }
        Err(error) => error.to_string(),
    };
    eprintln!("{failure}");
    std::process::ExitCode::FAILURE
}

async fn serve() -> Result<std::convert::Infallible, Error> {
    let cluster = Cluster::start(&[]).await?;
    println!("{cluster}");
    println!("data: {}", cluster.data_dir().display());
    println!("DATABASE_URL={}", cluster.url());
    Ok(std::future::pending().await)
}
