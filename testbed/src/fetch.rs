//! PostgreSQL's programs from a public registry, through a program that is installed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::package::{self, Package};
use crate::{cache, command, find};

/// The limit for one program, including the wait for another process that fetches.
const PATIENCE: Duration = Duration::from_secs(300);

/// The programs that fetch, each with the file to look for on the PATH.
const TOOLS: [(Tool, &[&str]); 3] = [
    (Tool::Uv, &["uv"]),
    (Tool::Pip, &["pip", "pip3", "python3", "python"]),
    (Tool::Npm, &["npm"]),
];

#[derive(Clone, Copy, Debug)]
enum Tool {
    Uv,
    Pip,
    Npm,
}

impl Tool {
    fn package(self) -> Option<Package> {
        match self {
            Self::Uv | Self::Pip => package::of_pypi(),
            Self::Npm => package::of_npm(),
        }
    }
}

/// The folder of programs that were fetched earlier.
pub(crate) fn cached(variables: find::Variables<'_>) -> Result<PathBuf, String> {
    let cache = cache::folder(variables)?;
    let packages = [package::of_pypi(), package::of_npm()].into_iter().flatten();
    packages
        .map(|package| cache.join(package.folder()).join(package.bin))
        .find(|bin| find::check(bin).is_ok())
        .ok_or_else(|| format!("{}: nothing", cache.display()))
}

/// Fetches the programs with the first installed program that can. Adds the reasons of the others to `tried`.
pub(crate) async fn fetch(
    variables: find::Variables<'_>,
    tried: &mut Vec<String>,
) -> Option<PathBuf> {
    let path = variables("PATH").unwrap_or_default();
    for (tool, names) in TOOLS {
        let name = names[0];
        let Some(program) = names.iter().find_map(|name| find::program(&path, name)) else {
            tried.push(format!("{name}: not on PATH"));
            continue;
        };
        let Some(package) = tool.package() else {
            tried.push(format!("{name}: no package of PostgreSQL for this machine"));
            continue;
        };
        if find::offline(variables) {
            tried.push(format!("{name}: OAUTH_STORAGE_OFFLINE forbids to fetch"));
            continue;
        }
        let cache = match cache::folder(variables) {
            Ok(cache) => cache,
            Err(reason) => {
                tried.push(format!("{name}: {reason}"));
                continue;
            }
        };
        let work = fetch_with(tool, &program, package, cache);
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(bin)) => return Some(bin),
            Ok(Err(reason)) => tried.push(format!("{name}: {reason}")),
            Err(_) => tried.push(format!("{name}: not done within {} s", PATIENCE.as_secs())),
        }
    }
    None
}

async fn fetch_with(
    tool: Tool,
    program: &Path,
    package: Package,
    cache: PathBuf,
) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", cache.display());
    let writer = cache::Writer::wait(cache.clone()).await.map_err(failed)?;
    let folder = cache.join(package.folder());
    let bin = folder.join(package.bin);
    if find::check(&bin).is_ok() {
        return Ok(bin); // another process fetched it meanwhile
    }
    let Package { name, version, .. } = package;
    command::say(&format!(
        "fetching PostgreSQL with {} ({name} {version}, once) into {}; \
         OAUTH_STORAGE_OFFLINE=1 forbids it",
        program.display(),
        folder.display()
    ));
    let unfinished = writer.begin().map_err(failed)?;
    let fetched = async {
        match tool {
            Tool::Uv | Tool::Pip => install_wheel(tool, program, package, &unfinished).await?,
            Tool::Npm => install_tarball(program, package, &unfinished).await?,
        }
        writer.finish(&unfinished, &package.folder()).map_err(failed)?;
        find::check(&bin)
    };
    let fetched = fetched.await;
    if fetched.is_err() {
        let _ = fs::remove_dir_all(&unfinished);
    }
    fetched.map(|()| bin)
}

/// Both programs refuse a file whose hash is not in the list.
async fn install_wheel(
    tool: Tool,
    program: &Path,
    package: Package,
    folder: &Path,
) -> Result<(), String> {
    let Package { name, version, hashes, .. } = package;
    let hashes: String = hashes.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
    let list = folder.join("requirements.txt");
    fs::write(&list, format!("{name}=={version}{hashes}\n")).map_err(|error| error.to_string())?;

    let mut arguments: Vec<OsString> = Vec::new();
    if program.file_stem().is_some_and(|name| name.to_string_lossy().starts_with("python")) {
        arguments.extend(["-m".into(), "pip".into()]);
    }
    if let Tool::Uv = tool {
        arguments.push("pip".into());
    }
    let common = ["install", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"];
    arguments.extend(common.map(OsString::from));
    arguments.extend(["--target".into(), folder.into(), "--requirement".into(), list.into()]);
    if let Tool::Uv = tool {
        // Otherwise the files are those of uv's cache, whose permissions are not ours to change.
        arguments.push("--link-mode=copy".into());
    } else {
        let more = ["--no-compile", "--no-input", "--disable-pip-version-check"];
        arguments.extend(more.map(OsString::from));
        arguments.extend(["--timeout=20", "--retries=1"].map(OsString::from));
    }
    command::run(tokio::process::Command::new(program).args(arguments).env("PIP_USER", "0")).await
}

/// npm refuses a file whose hash is not that of the lock file.
async fn install_tarball(program: &Path, package: Package, folder: &Path) -> Result<(), String> {
    let Package { name, version, hashes, .. } = package;
    let manifest = format!(r#"{{"private":true,"dependencies":{{"{name}":"{version}"}}}}"#);
    let lock = format!(
        r#"{{"lockfileVersion":3,"packages":{{"":{{"dependencies":{{"{name}":"{version}"}}}},
           "node_modules/{name}":{{"version":"{version}","integrity":"{}"}}}}}}"#,
        hashes.concat()
    );
    for (file, content) in [("package.json", manifest), ("package-lock.json", lock)] {
        fs::write(folder.join(file), content).map_err(|error| error.to_string())?;
    }
    let mut npm = tokio::process::Command::new(program);
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        .args(["--package-lock=true", "--fetch-timeout=20000", "--fetch-retries=1"])
        .current_dir(folder);
    command::run(&mut npm).await?;
    // A tarball of npm has no links. This script of the package makes those between its libraries.
    let mut links = tokio::process::Command::new("node");
    links.arg("scripts/hydrate-symlinks.js").current_dir(folder.join("node_modules").join(name));
    command::run(&mut links).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fetch that expects other hashes. Returns its error, or prints why it cannot be tried.
    async fn refusal(tool: Tool, names: &[&str], wrong: &'static [&'static str]) -> Option<String> {
        let test = format!("fetch::tests: a wrong hash with {}", names[0]);
        let path = find::environment("PATH").unwrap_or_default();
        let Some(program) = names.iter().find_map(|name| find::program(&path, name)) else {
            command::say(&format!("NOT RUN: {test}: it is not on PATH"));
            return None;
        };
        if find::offline(&find::environment) {
            command::say(&format!("NOT RUN: {test}: OAUTH_STORAGE_OFFLINE forbids it"));
            return None;
        }
        let Some(package) = tool.package() else {
            command::say(&format!("NOT RUN: {test}: no package for this machine"));
            return None;
        };
        let cache = std::env::temp_dir().join(format!("fetch-{}", uuid::Uuid::new_v4()));
        let mut results = Vec::new();
        for package in [package, Package { hashes: wrong, ..package }] {
            let cache = cache.join(package.hashes.concat().get(..16).unwrap());
            let work = fetch_with(tool, &program, package, cache.clone());
            let result = tokio::time::timeout(Duration::from_secs(100), work).await;
            let left = fs::read_dir(&cache).unwrap().count();
            results.push((result.unwrap_or_else(|_| Err("no answer".to_owned())), left));
        }
        fs::remove_dir_all(cache).unwrap();
        let (refused, left) = results.pop().unwrap();
        if let (Err(reason), _) = results.pop().unwrap() {
            command::say(&format!("NOT RUN: {test}: the registry cannot be reached: {reason}"));
            return None;
        }
        assert_eq!(left, 1, "only the lock is left of a refused package");
        Some(refused.unwrap_err())
    }

    const SHA256: &[&str] = &["00000000907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d00"];

    #[tokio::test]
    async fn pip_refuses_a_wrong_hash() {
        if let Some(reason) = refusal(Tool::Pip, TOOLS[1].1, SHA256).await {
            assert!(reason.contains("Expected sha256 00000000907c"), "{reason}");
        }
    }

    #[tokio::test]
    async fn uv_refuses_a_wrong_hash() {
        if let Some(reason) = refusal(Tool::Uv, TOOLS[0].1, SHA256).await {
            assert!(reason.contains("sha256:00000000907c") || reason.contains("hash"), "{reason}");
        }
    }

    #[tokio::test]
    async fn npm_refuses_a_wrong_hash() {
        let wrong = &[
            "sha512-AAAAAAAAixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
        ];
        if let Some(reason) = refusal(Tool::Npm, TOOLS[2].1, wrong).await {
            assert!(reason.contains("EINTEGRITY"), "{reason}");
        }
    }
}
