//! Who this process is among those that share a cluster's connections.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::Mutex;

use rowhouse_database::Replica;
use rowhouse_settings as settings;
use uuid::Uuid;

/// Held for as long as the process lives, so that no other takes itself for this one.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// The replica that the settings' file names, or a new one.
pub(crate) fn of(settings: &settings::Pools) -> Replica {
    let id = match &settings.replica_file {
        none if none.as_os_str().is_empty() => Uuid::now_v7(),
        file => remembered(file).unwrap_or_else(|error| {
            tracing::warn!(%error, file = %file.display(), "this replica is a new one: its file is of no use");
            Uuid::now_v7()
        }),
    };
    Replica::new(id, settings.floor, settings.floor_kept)
}

fn remembered(path: &Path) -> std::io::Result<Uuid> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    file.try_lock().map_err(|_| std::io::Error::other("another process is this replica"))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let id = match text.trim() {
        "" => {
            let id = Uuid::now_v7();
            file.rewind()?;
            file.write_all(id.to_string().as_bytes())?;
            file.sync_all()?;
            id
        }
        known => known.parse().map_err(std::io::Error::other)?,
    };
    HELD.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(file);
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_remembered_and_never_two_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replica");
        let id = remembered(&path).unwrap();
        assert!(remembered(&path).is_err(), "it is held");
        HELD.lock().unwrap().clear();
        assert_eq!(remembered(&path).unwrap(), id);
        HELD.lock().unwrap().clear();
        std::fs::write(&path, "nobody").unwrap();
        assert!(remembered(&path).is_err());
    }
}
