//! The programs to start a private server from.

use std::path::PathBuf;

use crate::{Error, cluster, download, fetch, find};

/// The folder of programs that are on this machine: installed, or fetched earlier.
pub(crate) async fn on_this_machine() -> Result<PathBuf, Error> {
    cluster::blocking(|| {
        let mut tried = match find::binaries(&find::environment, find::STANDARD_FOLDERS) {
            Err(Error::NotFound { tried }) => tried,
            found => return found,
        };
        fetch::cached(&find::environment).map_err(|reason| {
            tried.push(reason);
            Error::NotFound { tried }
        })
    })
    .await
}

/// Fetches the programs, after everything in `tried` has failed.
pub(crate) async fn fetched(mut tried: Vec<String>) -> Result<PathBuf, Error> {
    match fetch::fetch(&find::environment, &mut tried).await {
        Some(bin) => Ok(bin),
        None => download::binaries(tried).await,
    }
}
