//! The choice of a server: one that the environment names, or the programs to start one from.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// A database on the coordinator of a Citus cluster; see [`crate::citus`].
pub(crate) const COORDINATOR: &str = "OAUTH_STORAGE_TEST_CITUS";
const OWN_URL: &str = "OAUTH_STORAGE_DATABASE_URL";
const COMMON_URL: &str = "DATABASE_URL";
pub(crate) const URLS: [&str; 2] = [OWN_URL, COMMON_URL];
const BIN: &str = "OAUTH_STORAGE_POSTGRES_BIN";
/// Replaces [`STANDARD_FOLDERS`] by one pattern. Tests hide installed programs with it.
const FOLDERS: &str = "OAUTH_STORAGE_TESTBED_FOLDERS";
const OFFLINE: &str = "OAUTH_STORAGE_OFFLINE";

/// The folders in which packages install PostgreSQL. The star stands for its version.
pub(crate) const STANDARD_FOLDERS: &[&str] = &[
    "/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
    "/usr/pgsql-*/bin",                   // the PostgreSQL project's RPMs
    "/opt/homebrew/opt/postgresql@*/bin", // Homebrew on Apple silicon
    "/usr/local/opt/postgresql@*/bin",    // Homebrew on Intel
];

/// The oldest major version the testbed starts or accepts.
pub(crate) const OLDEST: u32 = 14;

/// Reads an environment variable. It is a parameter because tests cannot set variables.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The environment of this process. Empty counts as unset.
pub(crate) fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns true if nothing may be fetched.
pub(crate) fn offline(variables: Variables<'_>) -> bool {
    variables(OFFLINE).is_some_and(|value| value != "0")
}

/// The existing server to use, with the variable that names it.
pub(crate) fn database_url(variables: Variables<'_>) -> Option<(&'static str, OsString)> {
    let common = || {
        // Many shells export DATABASE_URL for other reasons. Named programs take precedence.
        variables(BIN).is_none().then(|| variables(COMMON_URL)).flatten()
    };
    let own = [COORDINATOR, OWN_URL].into_iter().find_map(|name| Some((name, variables(name)?)));
    own.or_else(|| common().map(|url| (COMMON_URL, url)))
}

/// The folder of the programs to start a server from.
pub(crate) fn binaries(variables: Variables<'_>, standard: &[&str]) -> Result<PathBuf, Error> {
    if let Some(bin) = variables(BIN).map(PathBuf::from) {
        // A fallback to another version would falsify a test of several versions.
        return match check(&bin) {
            Ok(()) => Ok(bin),
            Err(reason) => Err(Error::Unusable { variable: BIN, reason }),
        };
    }

    let mut tried = vec![format!("{BIN}: not set")];
    let path = variables("PATH").unwrap_or_default();
    let places = [("PATH", on_path(&path)), ("pg_config --bindir", configured(&path))];
    for (origin, found) in places {
        match found {
            None => tried.push(format!("{origin}: nothing")),
            Some(bin) => match check(&bin) {
                Ok(()) => return Ok(bin),
                Err(reason) => tried.push(format!("{origin}: {reason}")),
            },
        }
    }
    let instead = variables(FOLDERS).and_then(|pattern| pattern.into_string().ok());
    for pattern in instead.as_deref().map_or(standard.to_vec(), |pattern| vec![pattern]) {
        let folders = versions(pattern);
        if folders.is_empty() {
            tried.push(format!("{pattern}: nothing"));
        }
        for bin in folders {
            match check(&bin) {
                Ok(()) => return Ok(bin),
                Err(reason) => tried.push(reason),
            }
        }
    }
    Err(Error::NotFound { tried })
}

/// The file of a program on the PATH.
pub(crate) fn program(path: &OsStr, name: &str) -> Option<PathBuf> {
    let mut files = std::env::split_paths(path).map(|folder| folder.join(name));
    files.find(|file| file.is_file())
}

/// The folder of the `postgres` on the PATH. Links are followed, because the other programs are in the
/// folder of the target.
fn on_path(path: &OsStr) -> Option<PathBuf> {
    let postgres = program(path, "postgres")?.canonicalize().ok()?;
    postgres.parent().map(Path::to_owned)
}

/// The folder that the `pg_config` on the PATH names. It need not contain a server.
fn configured(path: &OsStr) -> Option<PathBuf> {
    let output = Command::new(program(path, "pg_config")?).arg("--bindir").output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(folder.trim())).filter(|folder| folder.is_absolute())
}

/// The folders that match a pattern with one star, the highest version first.
fn versions(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return Vec::new();
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, PathBuf::from(format!("{before}{version}{after}"))))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// Checks that a folder has the programs of a supported version. Returns the reason if not.
pub(crate) fn check(bin: &Path) -> Result<(), String> {
    let place = bin.display();
    for program in ["postgres", "initdb", "pg_ctl"] {
        if !bin.join(program).is_file() {
            return Err(format!("{place}: no {program}"));
        }
    }
    let mut command = Command::new(bin.join("postgres"));
    command.arg("--version").current_dir("/");
    // The server's user may not be able to read a folder of root.
    #[cfg(unix)]
    crate::supervisor::as_server_user(&mut command).map_err(|error| error.to_string())?;
    let output = command.output().map_err(|error| format!("{place}: {error}"))?;
    let version = String::from_utf8_lossy(&output.stdout);
    match major(&version) {
        Some(major) if major >= OLDEST => Ok(()),
        Some(major) => Err(format!("{place}: PostgreSQL {major} is older than {OLDEST}")),
        None => {
            let reason = String::from_utf8_lossy(&output.stderr);
            Err(format!("{place}: postgres --version reports no version {}", reason.trim()))
        }
    }
}

/// The major version in a text such as "postgres (PostgreSQL) 17.2 (Debian 17.2-1)" or "18beta1".
pub(crate) fn major(version: &str) -> Option<u32> {
    let start = version.find(|c: char| c.is_ascii_digit())?;
    let digits = &version[start..];
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<OsString> {
        None
    }

    #[test]
    fn says_what_was_tried_and_what_to_do() {
        let error = binaries(&none, &["/nowhere/postgresql/*/bin"]).unwrap_err().to_string();
        for part in [
            "found no PostgreSQL",
            "OAUTH_STORAGE_POSTGRES_BIN: not set",
            "PATH: nothing",
            "pg_config --bindir: nothing",
            "/nowhere/postgresql/*/bin: nothing",
            "apt install postgresql",
            "brew install postgresql@17",
            "docker compose up -d --wait",
            "set DATABASE_URL",
        ] {
            assert!(error.contains(part), "{part:?} is missing in {error}");
        }
    }

    #[test]
    fn a_named_folder_is_used_or_refused() {
        let named = |name: &str| (name == BIN).then(|| "/nowhere/bin".into());
        let error = binaries(&named, STANDARD_FOLDERS).unwrap_err().to_string();
        assert!(error.contains(BIN) && error.contains("/nowhere/bin: no postgres"), "{error}");
    }

    #[test]
    fn our_own_variables_come_before_database_url() {
        let set = |names: &'static [&'static str]| {
            move |name: &str| names.contains(&name).then(|| OsString::from(name))
        };
        let variable = |names| database_url(&set(names)).map(|(variable, _)| variable);
        assert_eq!(variable(&[]), None);
        assert_eq!(variable(&[COMMON_URL]), Some(COMMON_URL));
        assert_eq!(variable(&[OWN_URL, COMMON_URL, BIN]), Some(OWN_URL));
        assert_eq!(variable(&[COMMON_URL, BIN]), None);
    }

    #[test]
    fn the_highest_version_comes_first() {
        let parent = std::env::temp_dir().join(format!("find-{}", uuid::Uuid::new_v4()));
        for folder in ["pg@9", "pg@17", "pg@16", "pg@old", "other"] {
            std::fs::create_dir_all(parent.join(folder)).unwrap();
        }
        let found = versions(&format!("{}/pg@*/bin", parent.display()));
        std::fs::remove_dir_all(&parent).unwrap();
        let expected = ["pg@17/bin", "pg@16/bin", "pg@9/bin"].map(|folder| parent.join(folder));
        assert_eq!(found, expected);
    }

    #[test]
    fn reads_versions() {
        assert_eq!(major("postgres (PostgreSQL) 17.2 (Debian 17.2-1)"), Some(17));
        assert_eq!(major("18beta1"), Some(18));
        assert_eq!(major("none"), None);
    }
}
