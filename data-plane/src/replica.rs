//! Who this process is among those that share a cluster's connections.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rowhouse_database::Replica;
use rowhouse_settings as settings;
use uuid::Uuid;

/// The files of the replicas that this process is; held for as long as it lives, so that no other takes itself for one of them.
static HELD: Mutex<Vec<Held>> = Mutex::new(Vec::new());

struct Held {
    id: Uuid,
    file: File,
    is_written: bool,
}

/// The replica that the settings' file names, or a new one.
pub(crate) fn of(settings: &settings::Pools) -> Replica {
    let replica = |id| Replica::new(id, settings.floor, settings.floor_kept);
    match &settings.replica_file {
        none if none.as_os_str().is_empty() => replica(Uuid::now_v7()),
        file => match hold(file) {
            Ok((id, true)) => replica(id).known(),
            Ok((id, false)) => replica(id),
            Err(error) => {
                tracing::warn!(%error, file = %file.display(), "this replica is a new one: its file is of no use");
                replica(Uuid::now_v7())
            }
        },
    }
}

/// Writes down who a replica is once it was granted connections: what its next life falls back on is then its own.
pub(crate) fn remember(replica: &Replica) {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let unwritten = held.iter_mut().find(|held| held.id == replica.id() && !held.is_written);
    let Some(Held { id, file, is_written }) = unwritten else { return };
    let mut write = || {
        file.rewind()?;
        file.write_all(id.to_string().as_bytes())?;
        file.sync_all()
    };
    match write() {
        Ok(()) => *is_written = true,
        Err(error) => tracing::warn!(%error, "who this replica is could not be written down"),
    }
}

/// Who the file names, and whether it does so already.
fn hold(path: &Path) -> std::io::Result<(Uuid, bool)> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    file.try_lock().map_err(|_| std::io::Error::other("another process is this replica"))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let (id, is_written) = match text.trim() {
        "" => (Uuid::now_v7(), false),
        known => (known.parse().map_err(std::io::Error::other)?, true),
    };
    HELD.lock().unwrap_or_else(PoisonError::into_inner).push(Held { id, file, is_written });
    Ok((id, is_written))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_replica_is_remembered_once_it_was_granted_something_and_never_two_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replica");
        let (id, is_known) = hold(&path).unwrap();
        assert!(!is_known);
        assert!(hold(&path).is_err(), "it is held");
        HELD.lock().unwrap().clear();
        let (other, is_known) = hold(&path).unwrap();
        assert!(other != id && !is_known, "the first was granted nothing");
        remember(&Replica::new(other, 1, Duration::ZERO));
        HELD.lock().unwrap().clear();
        assert_eq!(hold(&path).unwrap(), (other, true));
        HELD.lock().unwrap().clear();
        std::fs::write(&path, "nobody").unwrap();
        assert!(hold(&path).is_err());
    }
}
