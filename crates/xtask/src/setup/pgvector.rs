//! Builds pgvector from the source package of a newer Debian suite, where this suite has no package of it.
//!
//! The source comes from the mirror that the machine already uses, is checked against Debian's keyring by apt,
//! and everything but the installed extension stays in a temporary folder: the machine's own sources are not touched.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, anyhow, bail};
use rowhouse_local_postgres::{Installation, MINIMUM_PGVECTOR, Version};

use super::{
    apt::{self, Apt},
    sources,
};
use crate::console;

/// The oldest suite that has it first: it changes least.
const SUITES: [&str; 3] = ["trixie", "forky", "sid"];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// What the archive of this version must hash to, besides what its signed index says.
const KNOWN_ARCHIVES: [(&str, &str); 1] =
    [("pgvector_0.8.0.orig.tar.gz", "867a2c328d4928a5a9d6f052cd3bc78c7d60228a9b914ad32aa3db88e9de27b0")];

/// Fetches, checks, builds and installs it for this server.
pub(crate) fn build(installation: &Installation, apt: &mut Apt) -> anyhow::Result<()> {
    ensure_tools(installation, apt)?;
    // apt reads and checks downloads as a user of its own, who must be able to enter.
    let folder = tempfile::Builder::new()
        .prefix("rowhouse-pgvector-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()?;
    let archive = fetch(folder.path())?;
    check(&archive)?;
    let started = Instant::now();
    let source = folder.path().join("source");
    fs::create_dir(&source)?;
    console::run_quietly(
        Command::new("tar").args(["--strip-components=1", "-xf"]).arg(&archive).arg("-C").arg(&source),
    )?;
    console::doing(&format!("building pgvector for PostgreSQL {}", installation.version()));
    let pg_config = format!("PG_CONFIG={}", installation.program("pg_config").display());
    // OPTFLAGS="" instead of -march=native: the result must run wherever this disk image does.
    console::run_quietly(Command::new("make").arg("-C").arg(&source).args(["OPTFLAGS=", &pg_config]))?;
    console::run_quietly(apt.as_root("make").arg("-C").arg(&source).args(["install", "OPTFLAGS=", &pg_config]))?;
    console::done(&format!("pgvector built and installed in {}", console::seconds(started.elapsed())));
    Ok(())
}

fn ensure_tools(installation: &Installation, apt: &mut Apt) -> anyhow::Result<()> {
    let development = format!("postgresql-server-dev-{}", installation.version().major);
    let mut packages = Vec::new();
    if !has_headers(installation) {
        packages.push(development.as_str());
    }
    for (program, package) in
        [("gcc", "gcc"), ("make", "make"), ("dpkg-source", "dpkg-dev"), ("sha256sum", "coreutils")]
    {
        if !console::succeeds(Command::new(program).arg("--version")) {
            packages.push(package);
        }
    }
    if !Path::new(KEYRING).is_file() {
        packages.push("debian-archive-keyring");
    }
    if packages.is_empty() {
        return Ok(());
    }
    apt.install(&packages)
}

/// Debian's client package already has the makefiles; the headers are what tells whether extensions can be built.
fn has_headers(installation: &Installation) -> bool {
    let mut pg_config = Command::new(installation.program("pg_config"));
    console::run_quietly(pg_config.arg("--includedir-server"))
        .is_ok_and(|folder| Path::new(folder.trim()).join("postgres.h").is_file())
}

/// Downloads the first suite's package that is new enough; gives the path of its archive.
fn fetch(folder: &Path) -> anyhow::Result<PathBuf> {
    let codename = apt::os_release("VERSION_CODENAME").context("/etc/os-release names no VERSION_CODENAME")?;
    let mirrors = sources::debian_mirrors(&codename);
    if mirrors.is_empty() {
        bail!("no Debian mirror for {codename} among the machine's apt sources");
    }
    let mut reasons = Vec::new();
    for suite in SUITES {
        for (number, mirror) in mirrors.iter().enumerate() {
            let place = folder.join(format!("{suite}-{number}"));
            console::doing(&format!("fetching the source package pgvector of {suite}"));
            match fetch_from(mirror, suite, &place) {
                Ok(archive) => return Ok(archive),
                Err(error) => reasons.push(format!("{suite}: {error:#}")),
            }
        }
    }
    Err(anyhow!("no suite gave a usable source package:\n{}", reasons.join("\n")))
}

fn fetch_from(mirror: &str, suite: &str, place: &Path) -> anyhow::Result<PathBuf> {
    for part in ["sources", "lists/partial", "cache/archives/partial", "download"] {
        fs::create_dir_all(place.join(part))?;
    }
    let source = format!("Types: deb-src\nURIs: {mirror}\nSuites: {suite}\nComponents: main\nSigned-By: {KEYRING}\n");
    fs::write(place.join("sources/rowhouse.sources"), source)?;
    let download = place.join("download");
    console::run_quietly(isolated(place).args(["update", "-q", "-o", "APT::Update::Error-Mode=any"]))?;
    console::run_quietly(isolated(place).args(["source", "-q", "--download-only", "pgvector"]).current_dir(&download))?;
    let version = description_version(&download)?;
    if version < MINIMUM_PGVECTOR {
        bail!("it has pgvector {version}, which is older than {MINIMUM_PGVECTOR}");
    }
    find_file(&download, ".orig.tar.gz").context("the source package holds no .orig.tar.gz")
}

/// An apt that sees our one source, and keeps its lists and its cache with us.
fn isolated(place: &Path) -> Command {
    let mut command = Command::new("apt-get");
    let options = [
        ("Dir::Etc::sourcelist", PathBuf::from("/dev/null")),
        ("Dir::Etc::sourceparts", place.join("sources")),
        ("Dir::State::Lists", place.join("lists")),
        ("Dir::Cache", place.join("cache")),
    ];
    for (option, path) in options {
        command.arg("-o").arg(format!("{option}={}", path.display()));
    }
    command.env("LC_ALL", "C");
    command
}

/// The version is in the name of the package's description, `pgvector_0.8.0-1.dsc`.
fn description_version(download: &Path) -> anyhow::Result<Version> {
    let description = find_file(download, ".dsc").context("the source package holds no .dsc")?;
    let name = description.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    name.split_once('_')
        .and_then(|(_, version)| Version::parse(version))
        .with_context(|| format!("no version in the name {name}"))
}

fn find_file(folder: &Path, ending: &str) -> Option<PathBuf> {
    let paths = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    paths.into_iter().find(|path| path.to_string_lossy().ends_with(ending))
}

fn check(archive: &Path) -> anyhow::Result<()> {
    let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some((_, expected)) = KNOWN_ARCHIVES.iter().find(|(known, _)| *known == name) else {
        console::done(&format!("{name}, signature checked by apt"));
        return Ok(());
    };
    let printed = console::run_quietly(Command::new("sha256sum").arg(archive))?;
    if !printed.starts_with(expected) {
        bail!("{name} does not have the expected SHA-256");
    }
    console::done(&format!("{name}, signature checked by apt, SHA-256 as expected"));
    Ok(())
}
