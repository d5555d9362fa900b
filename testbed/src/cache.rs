//! The folder of fetched programs, which processes share.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use crate::find;

/// Marks a folder that is not complete.
const UNFINISHED: &str = "unfinished-";

/// The folder `oauth-storage-testbed` in the user's cache.
///
/// Root runs the server as another user. If that user cannot reach root's cache, `/var/cache` is used. A user without a
/// home has none: in a shared folder anybody could have put the programs there.
pub(crate) fn folder(variables: find::Variables<'_>) -> Result<PathBuf, String> {
    #[cfg(unix)]
    let is_root = crate::supervisor::is_root();
    #[cfg(not(unix))]
    let is_root = false;
    folder_of(is_root, variables)
}

fn folder_of(is_root: bool, variables: find::Variables<'_>) -> Result<PathBuf, String> {
    let absolute = |name| variables(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    let base = match is_root && !base.as_deref().is_some_and(everybody_reaches) {
        true => Some(PathBuf::from("/var/cache")),
        false => base,
    };
    let base = base.ok_or("no folder for a cache: HOME and XDG_CACHE_HOME are not set")?;
    Ok(base.join("oauth-storage-testbed"))
}

/// Returns true if every user may pass through the folder and those above it, as far as they exist.
fn everybody_reaches(folder: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;

        let existing = folder.ancestors().filter_map(|folder| fs::metadata(folder).ok());
        existing.into_iter().all(|metadata| metadata.permissions().mode() & 0o001 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        true
    }
}

/// The right to write to the cache. It ends with the process, however that ends.
pub(crate) struct Writer {
    cache: PathBuf,
    _lock: File,
}

impl Writer {
    /// Waits until no other process writes to the cache.
    pub(crate) async fn wait(cache: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&cache)?;
        let lock = File::create(cache.join("lock"))?;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    tokio::time::sleep(Duration::from_millis(100)).await
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        let writer = Self { cache, _lock: lock };
        writer.sweep()?;
        Ok(writer)
    }

    /// Creates a folder to fill, for [`finish`](Self::finish).
    pub(crate) fn begin(&self) -> io::Result<PathBuf> {
        let folder = self.cache.join(format!("{UNFINISHED}{}", Uuid::new_v4()));
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// Makes a filled folder readable for everybody, because root runs the server as another user, and
    /// gives it its name.
    pub(crate) fn finish(&self, filled: &Path, name: &str) -> io::Result<()> {
        #[cfg(unix)]
        {
            open_to_all(filled)?;
            add_mode(&self.cache, 0o755)?;
        }
        let folder = self.cache.join(name);
        if folder.exists() {
            // It cannot be used, or nothing would have been fetched.
            fs::remove_dir_all(&folder)?;
        }
        fs::rename(filled, folder)
    }

    /// Removes what ended processes left behind. A running one would hold the lock.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.cache)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

#[cfg(unix)]
pub(crate) fn open_to_all(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    if metadata.is_file() {
        return add_mode(path, 0o444);
    }
    add_mode(path, 0o755)?;
    for entry in fs::read_dir(path)? {
        open_to_all(&entry?.path())?;
    }
    Ok(())
}

#[cfg(unix)]
fn add_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let old = fs::metadata(path)?.permissions().mode();
    // What the owner may execute, everybody may.
    fs::set_permissions(
        path,
        fs::Permissions::from_mode(old | mode | (old & 0o100) >> 3 | (old & 0o100) >> 6),
    )
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn a_cache_is_in_no_shared_folder() {
        let none = |_: &str| None;
        assert!(folder_of(false, &none).is_err());
        assert_eq!(folder_of(true, &none).unwrap(), Path::new("/var/cache/oauth-storage-testbed"));
        let home = |name: &str| (name == "HOME").then(|| OsString::from("/nobody"));
        let expected = Path::new("/nobody/.cache/oauth-storage-testbed");
        assert_eq!(folder_of(false, &home).unwrap(), expected);
        let relative = |_: &str| Some(OsString::from("cache"));
        assert!(folder_of(false, &relative).is_err());
    }
}
