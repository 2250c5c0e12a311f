//! What is remembered of keys, on disk: so that a restart in the middle of an outage forgets nobody.
//!
//! The file is sealed under the master key and replaced as a whole. Nothing in it is taken for right: what was read from it
//! is confirmed before use, and used as it was only while `saas_platform` does not answer, for as long as it would have been
//! without the restart.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rowhouse_database::{Credential, Placement, Server, ServerTls};
use rowhouse_domain::{ClusterId, GroupId, Isolation};
use rowhouse_keys::MasterKey;
use rowhouse_problem::{Error, Result};
use rowhouse_trust::{Inquiry, Moment};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::cache::{Inner, KeyCache};
use super::known::Facts;

/// How often the file is replaced where something has changed.
const PAUSE: Duration = Duration::from_secs(30);
/// How often where nothing has: the file says when its content was last known to be right.
const REFRESH: Duration = Duration::from_secs(5 * 60);
/// Two clocks, or one that was set, may differ by this much.
const CLOCK_ERROR: Duration = Duration::from_secs(60);
/// The form of the content.
const FORM: u32 = 2;
const PURPOSE: &str = "auth-snapshot";
const OWNER: &[u8] = b"data-plane";

#[derive(Serialize, Deserialize)]
struct Snapshot {
    form: u32,
    saved_at: Timestamp,
    /// Each once: a certificate is longer than all that is known of a key.
    servers: Vec<SavedServer>,
    keys: Vec<SavedKey>,
}

#[derive(Serialize, Deserialize)]
struct SavedKey {
    facts: Facts,
    placement: Option<SavedPlacement>,
    /// Milliseconds between the moment when it was last known to be right and the saving.
    age: u64,
}

#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct SavedServer {
    cluster: ClusterId,
    host: String,
    port: u16,
    is_verified: bool,
    authority: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct SavedPlacement {
    generation: i64,
    isolation: Isolation,
    /// Its place in the list.
    server: usize,
    database: String,
    schema: String,
    role: String,
    credential_version: i32,
    /// Where the login is that of a shared database.
    group: Option<GroupId>,
}

impl KeyCache {
    /// Takes in what an earlier process saved. What can't be used is left alone, with a warning.
    pub fn recall(&self) {
        let file = &self.0.settings.snapshot_file;
        if file.as_os_str().is_empty() {
            return;
        }
        match self.0.load(file) {
            Ok(keys) => tracing::info!(keys, "keys of an earlier process are remembered until they are confirmed"),
            Err(error) => tracing::warn!(error = error.chain(), "the file of remembered keys is not used"),
        }
    }

    /// Saves what is remembered, now and then, for as long as the future is polled.
    pub async fn keep_saved(self) {
        if self.0.settings.snapshot_file.as_os_str().is_empty() {
            return;
        }
        let mut saved = (self.0.changes.load(Ordering::Relaxed), Moment::now());
        loop {
            tokio::time::sleep(PAUSE).await;
            let changes = self.0.changes.load(Ordering::Relaxed);
            if changes != saved.0 || saved.1 <= Moment::now().before(REFRESH) {
                self.save().await;
                saved = (changes, Moment::now());
            }
        }
    }

    /// Saves what is remembered, if there is a file for it; nothing at all where all that was remembered is gone.
    pub async fn save(&self) {
        let inner = Arc::clone(&self.0);
        if inner.settings.snapshot_file.as_os_str().is_empty() || inner.changes.load(Ordering::Relaxed) == 0 {
            return;
        }
        let saved = tokio::task::spawn_blocking(move || inner.store(&inner.settings.snapshot_file)).await;
        match saved.map_err(Error::internal).and_then(|saved| saved.map_err(Error::internal)) {
            Ok(()) => {}
            Err(error) => tracing::warn!(error = error.chain(), "what is remembered of keys could not be saved"),
        }
    }
}

impl Inner {
    fn store(&self, file: &Path) -> std::io::Result<()> {
        // One that was begun before the process ends goes on beside the last one.
        let _alone = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let mut snapshot = Snapshot { form: FORM, saved_at: Timestamp::now(), servers: Vec::new(), keys: Vec::new() };
        let (now, mut places) = (Moment::now(), HashMap::new());
        for (_, entry) in &self.entries {
            let Some(last) = entry.reading.last_right() else { continue };
            let placement = entry.known.placement.as_ref().map(|placement| {
                SavedPlacement::of(placement.get(), |server| {
                    *places.entry(server).or_insert_with_key(|server| {
                        snapshot.servers.push(server.clone());
                        snapshot.servers.len() - 1
                    })
                })
            });
            let age = u64::try_from(now.0.saturating_sub(last.0)).unwrap_or(0);
            snapshot.keys.push(SavedKey { facts: entry.known.facts.clone(), placement, age });
        }
        let text = SecretString::from(serde_json::to_string(&snapshot)?);
        replace(file, &self.master.seal(PURPOSE, OWNER, &text))
    }

    fn load(&self, file: &Path) -> Result<usize> {
        let sealed = match std::fs::read(file) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(Error::internal(error)),
        };
        let snapshot = open(&self.master, &sealed, Timestamp::now())?;
        let since = Timestamp::now().duration_since(snapshot.saved_at);
        let now = Moment::now().before(Duration::try_from(since).unwrap_or_default());
        let mut loaded = 0;
        for key in snapshot.keys {
            let at = now.before(Duration::from_millis(key.age));
            if at < Moment::now().before(self.settings.stale_max) {
                continue;
            }
            let tenant = key.facts.tenant;
            let placement = key.placement.map(|placement| placement.into_placement(tenant, &snapshot.servers));
            let placement = placement.transpose()?.map(Arc::new);
            let entry = self.entry(key.facts, placement, &Inquiry::of_the_past(at))?;
            self.remember(&Arc::new(entry));
            loaded += 1;
        }
        Ok(loaded)
    }
}

/// Reads a sealed file.
fn open(master: &MasterKey, sealed: &[u8], now: Timestamp) -> Result<Snapshot> {
    let text = master.open(PURPOSE, OWNER, sealed).map_err(Error::internal)?;
    let snapshot: Snapshot = serde_json::from_str(text.expose_secret()).map_err(Error::internal)?;
    if snapshot.form != FORM {
        return Err(Error::internal(format!("the file has form {}, this release reads {FORM}", snapshot.form)));
    }
    if now.checked_add(CLOCK_ERROR).is_ok_and(|latest| snapshot.saved_at > latest) {
        return Err(Error::internal(format!("the file was saved at {}, which is in the future", snapshot.saved_at)));
    }
    Ok(snapshot)
}

/// Puts a file in the place of another, whole or not at all, readable by its owner alone.
fn replace(file: &Path, content: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut name = file.file_name().ok_or_else(|| std::io::Error::other("no name of a file"))?.to_owned();
    // Two processes that were given one file do not write into each other's.
    name.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(folder).join(name);
    let write = || {
        let mut open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        open.write_all(content)?;
        open.sync_all()?;
        std::fs::rename(&new, file)?;
        File::open(folder)?.sync_all()
    };
    write().inspect_err(|_| {
        let _ = std::fs::remove_file(&new);
    })
}

impl SavedPlacement {
    fn of(placement: &Placement, mut place: impl FnMut(SavedServer) -> usize) -> Self {
        let (credential_version, group) = match placement.credential {
            Credential::Tenant { version } => (version, None),
            Credential::Group { group, version } => (version, Some(group)),
        };
        let (is_verified, authority) = match &placement.server.tls {
            ServerTls::Disabled => (false, None),
            ServerTls::VerifyFull { authority } => (true, authority.clone()),
        };
        let Server { cluster, host, port, .. } = &placement.server;
        Self {
            generation: placement.generation,
            isolation: placement.isolation,
            server: place(SavedServer { cluster: *cluster, host: host.clone(), port: *port, is_verified, authority }),
            database: placement.database.clone(),
            schema: placement.schema.clone(),
            role: placement.role.clone(),
            credential_version,
            group,
        }
    }

    fn into_placement(self, tenant: rowhouse_domain::TenantId, servers: &[SavedServer]) -> Result<Placement> {
        let server = servers.get(self.server).cloned().ok_or_else(|| Error::internal("a server is missing"))?;
        let version = self.credential_version;
        Ok(Placement {
            tenant,
            generation: self.generation,
            isolation: self.isolation,
            server: Server {
                cluster: server.cluster,
                host: server.host,
                port: server.port,
                tls: if server.is_verified {
                    ServerTls::VerifyFull { authority: server.authority }
                } else {
                    ServerTls::Disabled
                },
            },
            database: self.database,
            schema: self.schema,
            role: self.role,
            credential: match self.group {
                None => Credential::Tenant { version },
                Some(group) => Credential::Group { group, version },
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn sealed(master: &MasterKey, snapshot: &Snapshot) -> Vec<u8> {
        master.seal(PURPOSE, OWNER, &SecretString::from(serde_json::to_string(snapshot).unwrap()))
    }

    #[test]
    fn only_what_this_installation_saved_in_the_past_is_read() {
        let (master, now) = (MasterKey::generate(), Timestamp::now());
        let empty = |form, saved_at| Snapshot { form, saved_at, servers: Vec::new(), keys: Vec::new() };
        let good = sealed(&master, &empty(FORM, now));
        assert!(open(&master, &good, now).is_ok());
        assert!(open(&MasterKey::generate(), &good, now).is_err(), "another master key");
        assert!(open(&master, &good[..good.len() - 1], now).is_err(), "cut short");
        let mut changed = good.clone();
        changed[30] ^= 1;
        assert!(open(&master, &changed, now).is_err(), "changed");
        assert!(open(&master, b"", now).is_err(), "empty");
        let later = now.checked_add(Duration::from_secs(120)).unwrap();
        assert!(open(&master, &sealed(&master, &empty(FORM, later)), now).is_err(), "from the future");
        assert!(open(&master, &sealed(&master, &empty(FORM + 1, now)), now).is_err(), "of a later release");
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nobody_else_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/keys");
        replace(&file, b"first").unwrap();
        replace(&file, b"second").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"second");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_placement_comes_back_as_it_was() {
        let tenant = rowhouse_domain::TenantId::new();
        for (credential, tls) in [
            (Credential::Tenant { version: 2 }, ServerTls::Disabled),
            (
                Credential::Group { group: GroupId::new(), version: 3 },
                ServerTls::VerifyFull { authority: Some("PEM".to_owned()) },
            ),
        ] {
            let placement = Placement {
                tenant,
                generation: 7,
                isolation: Isolation::Schema,
                server: Server { cluster: ClusterId::new(), host: "db".to_owned(), port: 5432, tls },
                database: "d".to_owned(),
                schema: "s".to_owned(),
                role: "r".to_owned(),
                credential,
            };
            let mut servers = Vec::new();
            let saved = SavedPlacement::of(&placement, |server| {
                servers.push(server);
                servers.len() - 1
            });
            assert_eq!(saved.into_placement(tenant, &servers).unwrap(), placement);
        }
    }
}
