//! The secrets of a private house, in a file of its owner's alone.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use rowhouse_keys::MasterKey;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

/// What is made once and kept.
#[derive(Serialize, Deserialize)]
pub(crate) struct Secrets {
    pub(crate) master_key: String,
    pub(crate) control_password: String,
    pub(crate) data_password: String,
    /// Empty until the control plane has issued it.
    #[serde(default)]
    pub(crate) admin_key: String,
}

impl Secrets {
    /// Reads the file, or makes new secrets and writes it.
    pub(crate) fn load_or_make(file: &Path) -> Result<Self> {
        if file.exists() {
            let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
            return toml::from_str(&text).with_context(|| format!("{} is damaged", file.display()));
        }
        let random = || MasterKey::generate().to_text().expose_secret().to_owned();
        let secrets = Self {
            master_key: random(),
            control_password: random(),
            data_password: random(),
            admin_key: String::new(),
        };
        secrets.save(file)?;
        Ok(secrets)
    }

    /// Writes the file so that an interruption leaves the old one or the new one, never half of one.
    pub(crate) fn save(&self, file: &Path) -> Result<()> {
        write_private(file, &toml::to_string(self)?)
    }
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(file: &Path, text: &str) -> Result<()> {
    let temporary = file.with_extension("tmp");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut handle = options.open(&temporary).with_context(|| format!("writing {}", temporary.display()))?;
    handle.write_all(text.as_bytes())?;
    handle.sync_all()?;
    fs::rename(&temporary, file).with_context(|| format!("writing {}", file.display()))
}
