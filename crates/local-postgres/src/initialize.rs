//! Makes a data directory with `initdb`. It appears whole or not at all: `initdb` works beside it, a rename publishes it.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::{Durability, Error, Installation, account::Account, error::IoContext, marker};

/// The locale wanted, and the one that every system has.
const LOCALES: [&str; 2] = ["C.UTF-8", "C"];

/// Makes the data directory unless it is there. Says whether it made one.
pub(crate) fn ensure(
    installation: &Installation,
    data: &Path,
    account: Option<Account>,
    password: &str,
    durability: Durability,
) -> Result<bool, Error> {
    if data.join("PG_VERSION").is_file() {
        check_version(installation, data)?;
        return Ok(false);
    }
    let new = data.with_extension("new");
    let mut complaint = String::new();
    for locale in LOCALES {
        empty_folder(&new, account)?;
        let output = initdb(installation, &new, account, password, durability, locale)?;
        if output.status.success() {
            fs::rename(&new, data).trying("put in place", data)?;
            return Ok(true);
        }
        complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if !complaint.contains("locale") {
            break;
        }
    }
    Err(Error::Program { program: "initdb", output: complaint })
}

/// A server reads only data directories of its own major version.
fn check_version(installation: &Installation, data: &Path) -> Result<(), Error> {
    let path = data.join("PG_VERSION");
    let made_by = fs::read_to_string(&path).trying("read", &path)?;
    let found = installation.version().major.to_string();
    if made_by.trim() == found {
        return Ok(());
    }
    let reason = format!(
        "PostgreSQL {} made this cluster, and PostgreSQL {found} was found: set ROWHOUSE_PG_BINDIR, or drop the cluster",
        made_by.trim()
    );
    Err(Error::Damaged { path: data.to_path_buf(), reason })
}

/// What an `initdb` that was killed left behind goes first.
fn empty_folder(folder: &Path, account: Option<Account>) -> Result<(), Error> {
    if folder.exists() {
        fs::remove_dir_all(folder).trying("delete", folder)?;
    }
    DirBuilder::new().mode(0o700).create(folder).trying("make", folder)?;
    account.map_or(Ok(()), |account| account.own(folder))
}

fn initdb(
    installation: &Installation,
    folder: &Path,
    account: Option<Account>,
    password: &str,
    durability: Durability,
    locale: &str,
) -> Result<Output, Error> {
    let password_file = folder.with_extension("password");
    marker::write_private(&password_file, password)?;
    if let Some(account) = account {
        account.own(&password_file)?;
    }
    let output = run(installation, folder, account, &password_file, durability, locale);
    fs::remove_file(&password_file).trying("delete", &password_file)?;
    output
}

fn run(
    installation: &Installation,
    folder: &Path,
    account: Option<Account>,
    password_file: &PathBuf,
    durability: Durability,
    locale: &str,
) -> Result<Output, Error> {
    let program = installation.program("initdb");
    let mut command = Command::new(&program);
    command.arg("--pgdata").arg(folder).arg("--pwfile").arg(password_file);
    command.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions"]);
    command.arg(format!("--locale={locale}"));
    command.arg(match durability {
        Durability::Durable => "--data-checksums",
        Durability::Throwaway => "--no-sync",
    });
    // Our own working directory may be one that the account can't enter.
    command.current_dir("/").stdin(Stdio::null());
    if let Some(account) = account {
        account.apply(&mut command);
    }
    command.output().trying("run", program)
}
