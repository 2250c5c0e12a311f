//! The file that says that a folder is one of our clusters, and the superuser's password beside it.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{Error, error::IoContext};

const FILE: &str = "rowhouse-cluster.json";
const PASSWORD_FILE: &str = "superuser-password";

/// What the marker says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Marker {
    /// Random, so that two clusters that were made in the same place can be told apart.
    pub(crate) id: String,
    /// The folder that the cluster belongs to; its files may lie elsewhere.
    pub(crate) home: PathBuf,
    /// Where the server listened last.
    pub(crate) port: u16,
    /// When it was made, in seconds since 1970.
    pub(crate) created: u64,
}

impl Marker {
    /// A marker for a new cluster.
    pub(crate) fn new(home: &Path) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
        Self { id: random_hex::<8>(), home: home.to_path_buf(), port: 0, created }
    }

    /// The marker of a folder. None where there is no such folder, or nothing in it; an error where there are only others' files.
    pub(crate) fn find(home: &Path) -> Result<Option<Self>, Error> {
        let path = home.join(FILE);
        if path.is_file() {
            let text = fs::read_to_string(&path).trying("read", &path)?;
            let marker =
                serde_json::from_str(&text).map_err(|error| Error::Damaged { path, reason: error.to_string() })?;
            return Ok(Some(marker));
        }
        if !home.exists() {
            return Ok(None);
        }
        let mut entries = fs::read_dir(home).trying("list", home)?;
        let foreign = entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != crate::place::LOCK_FILE));
        if foreign { Err(Error::ForeignDirectory(home.to_path_buf())) } else { Ok(None) }
    }

    /// Writes it, whole or not at all.
    pub(crate) fn write(&self, home: &Path) -> Result<(), Error> {
        let path = home.join(FILE);
        let text = serde_json::to_string_pretty(self).expect("a struct of strings and numbers has a JSON form");
        write_private(&path, &text)
    }
}

/// The superuser's password: the one in the folder, or a new one.
pub(crate) fn ensure_password(home: &Path) -> Result<String, Error> {
    let path = home.join(PASSWORD_FILE);
    if path.exists() {
        return read_password(home);
    }
    let password = random_hex::<24>();
    write_private(&path, &password)?;
    Ok(password)
}

fn read_password(home: &Path) -> Result<String, Error> {
    let path = home.join(PASSWORD_FILE);
    let password = fs::read_to_string(&path).trying("read", &path)?;
    if password.is_empty() {
        return Err(Error::Damaged { path, reason: "it is empty".to_owned() });
    }
    Ok(password)
}

/// Writes a file that only its owner can read, through a rename: a crash leaves the old one.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let mut new = path.as_os_str().to_owned();
    new.push(".unfinished");
    let new = PathBuf::from(new);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new).trying("write", &new)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).trying("write", &new)?;
    fs::rename(&new, path).trying("replace", path)
}

fn random_hex<const N: usize>() -> String {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).expect("the operating system has random bytes");
    hex::encode(bytes)
}
