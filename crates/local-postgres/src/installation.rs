//! Where PostgreSQL's server binaries are, and what came with them. Only looks; installs nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, Version};

/// The oldest server that Rowhouse runs on (`GRANT SET ON PARAMETER` came with it).
pub const MINIMUM_POSTGRES: Version = Version::new(15, 0);
/// The oldest pgvector that Rowhouse runs on (iterative index scans came with it).
pub const MINIMUM_PGVECTOR: Version = Version::new(0, 8);
/// The extensions of PostgreSQL's own `contrib` that Rowhouse needs.
pub const REQUIRED_CONTRIB: [&str; 3] = ["pg_trgm", "btree_gin", "unaccent"];

/// One PostgreSQL server installation.
#[derive(Clone, Debug)]
pub struct Installation {
    bindir: PathBuf,
    sharedir: PathBuf,
    version: Version,
}

impl Installation {
    /// Finds a server that is new enough: the newest that has every extension, else the newest.
    ///
    /// `ROWHOUSE_PG_BINDIR` is the only place looked at when it is set.
    pub fn find() -> Result<Self, Error> {
        let candidates = candidates();
        let mut found: Vec<Self> = candidates.iter().filter_map(|bindir| Self::at(bindir)).collect();
        found.sort_by_key(|installation| (installation.missing().is_empty(), installation.version));
        match found.pop() {
            None => Err(Error::NotInstalled { looked_in: candidates }),
            Some(best) if best.version < MINIMUM_POSTGRES => {
                let Self { bindir, version, .. } = best;
                Err(Error::TooOld { version, required: MINIMUM_POSTGRES, bindir })
            }
            Some(best) => Ok(best),
        }
    }

    /// As [`Self::find`], and an error that names them when extensions are missing.
    pub fn find_complete() -> Result<Self, Error> {
        let installation = Self::find()?;
        let names = installation.missing();
        if names.is_empty() {
            return Ok(installation);
        }
        Err(Error::MissingExtensions { names, bindir: installation.bindir })
    }

    /// Whether the place to look is fixed by `ROWHOUSE_PG_BINDIR`, so that installing a server elsewhere would not help.
    pub fn is_place_fixed() -> bool {
        chosen_bindir().is_some()
    }

    /// The folder of `initdb`, `postgres` and `pg_ctl`.
    pub fn bindir(&self) -> &Path {
        &self.bindir
    }

    /// The server's version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The version of pgvector that `create extension vector` would install, if it is there at all.
    pub fn pgvector(&self) -> Option<Version> {
        let control = fs::read_to_string(self.control_file("vector")).ok()?;
        let line = control.lines().find(|line| line.trim_start().starts_with("default_version"))?;
        Version::parse(line.split_once('=')?.1.trim().trim_matches('\''))
    }

    /// The extensions of `contrib` that Rowhouse needs and that are not there.
    pub fn missing_contrib(&self) -> Vec<&'static str> {
        REQUIRED_CONTRIB.into_iter().filter(|name| !self.control_file(name).is_file()).collect()
    }

    /// Everything that Rowhouse needs and that is not there, for people to read.
    pub fn missing(&self) -> Vec<String> {
        let mut names: Vec<String> = self.missing_contrib().into_iter().map(String::from).collect();
        if self.pgvector().is_none_or(|version| version < MINIMUM_PGVECTOR) {
            names.push(format!("vector (pgvector {MINIMUM_PGVECTOR} or newer)"));
        }
        names
    }

    /// The path of one of the server's programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bindir.join(name)
    }

    fn at(bindir: &Path) -> Option<Self> {
        if !["initdb", "postgres", "pg_ctl"].iter().all(|program| bindir.join(program).is_file()) {
            return None;
        }
        let version = Version::parse(&output_of(&bindir.join("postgres"), "--version")?)?;
        let sharedir = match output_of(&bindir.join("pg_config"), "--sharedir") {
            Some(directory) => PathBuf::from(directory),
            None => guess_sharedir(bindir, version)?,
        };
        Some(Self { bindir: bindir.to_path_buf(), sharedir, version })
    }

    fn control_file(&self, extension: &str) -> PathBuf {
        self.sharedir.join("extension").join(format!("{extension}.control"))
    }
}

/// Some packages keep `pg_config` back for developers; `plpgsql` is in every server, so it shows the right folder.
fn guess_sharedir(bindir: &Path, version: Version) -> Option<PathBuf> {
    let prefix = bindir.parent()?;
    let guesses = [
        PathBuf::from(format!("/usr/share/postgresql/{}", version.major)),
        prefix.join("share/postgresql"),
        prefix.join(format!("share/postgresql@{}", version.major)),
        prefix.join("share"),
    ];
    guesses.into_iter().find(|directory| directory.join("extension/plpgsql.control").is_file())
}

fn candidates() -> Vec<PathBuf> {
    if let Some(bindir) = chosen_bindir() {
        return vec![bindir];
    }
    let mut folders = Vec::new();
    folders.extend(output_of(Path::new("pg_config"), "--bindir").map(PathBuf::from));
    folders.extend(inside("/usr/lib/postgresql", "").into_iter().map(|folder| folder.join("bin")));
    for prefix in ["/opt/homebrew/opt", "/usr/local/opt"] {
        folders.extend(inside(prefix, "postgresql").into_iter().map(|folder| folder.join("bin")));
    }
    folders.extend(inside("/usr", "pgsql-").into_iter().map(|folder| folder.join("bin")));
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    folders
}

#[expect(
    clippy::disallowed_methods,
    reason = "where PostgreSQL lies is the machine's business, not a setting of the services"
)]
fn chosen_bindir() -> Option<PathBuf> {
    std::env::var("ROWHOUSE_PG_BINDIR").ok().filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The entries of a folder whose names start with `prefix`; none when there is no such folder.
fn inside(folder: &str, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

fn output_of(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
