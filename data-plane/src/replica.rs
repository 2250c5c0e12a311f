//! Who this process is among those that share a cluster's connections.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rowhouse_database::{Floors, Replica};
use rowhouse_domain::ClusterId;
use rowhouse_settings as settings;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The files of the replicas that this process is; held for as long as it lives, so that no other takes itself for one of them.
static HELD: Mutex<Vec<Held>> = Mutex::new(Vec::new());

struct Held {
    known: Known,
    file: File,
}

/// What a replica's next life knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    replica: Uuid,
    /// What it was granted, and may take for its own while nobody can be asked.
    floors: Floors,
}

/// The replica that the settings' file names, or a new one.
pub(crate) fn of(settings: &settings::Pools) -> Replica {
    let replica = |id| Replica::new(id, settings.floor, settings.floor_kept);
    match &settings.replica_file {
        none if none.as_os_str().is_empty() => replica(Uuid::now_v7()),
        file => match hold(file) {
            Ok(known) => replica(known.replica).returning(known.floors),
            Err(error) => {
                tracing::warn!(%error, file = %file.display(), "this replica is a new one: its file is of no use");
                replica(Uuid::now_v7())
            }
        },
    }
}

/// Writes down what of a replica's floor it was granted, where that has changed.
pub(crate) fn remember(replica: &Replica, cluster: ClusterId, floor: usize) {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(held) = held.iter_mut().find(|held| held.known.replica == replica.id()) else { return };
    if held.known.floors.get(&cluster) == Some(&floor) {
        return;
    }
    let before = held.known.floors.insert(cluster, floor);
    if let Err(error) = write(&mut held.file, &held.known) {
        tracing::warn!(%error, "who this replica is could not be written down");
        // To be tried again.
        match before {
            Some(before) => held.known.floors.insert(cluster, before),
            None => held.known.floors.remove(&cluster),
        };
    }
}

fn write(file: &mut File, known: &Known) -> std::io::Result<()> {
    let text = serde_json::to_vec(known)?;
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(&text)?;
    file.sync_all()
}

/// What the file says; a replica without floors where that is nothing yet, or was never written to its end.
fn hold(path: &Path) -> std::io::Result<Known> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    file.try_lock().map_err(|_| std::io::Error::other("another process is this replica"))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let unknown = || Known { replica: Uuid::now_v7(), floors: Floors::new() };
    let known = match text.trim() {
        "" => unknown(),
        text => serde_json::from_str(text).unwrap_or_else(|error| {
            tracing::warn!(%error, file = %path.display(), "this replica is a new one: its file can't be read");
            unknown()
        }),
    };
    HELD.lock().unwrap_or_else(PoisonError::into_inner).push(Held { known: known.clone(), file });
    Ok(known)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_replica_is_remembered_with_what_it_was_granted_and_never_two_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replica");
        let [one, two] = [(); 2].map(|()| ClusterId::from_uuid(Uuid::now_v7()));
        let Known { replica: unheard, floors } = hold(&path).unwrap();
        assert!(floors.is_empty());
        assert!(hold(&path).is_err(), "it is held");
        HELD.lock().unwrap().clear();
        let known = hold(&path).unwrap();
        assert_ne!(known.replica, unheard, "it was granted nothing");
        let replica = Replica::new(known.replica, 4, Duration::ZERO);
        remember(&replica, one, 4);
        remember(&replica, two, 4);
        remember(&replica, one, 2);
        HELD.lock().unwrap().clear();
        assert_eq!(hold(&path).unwrap(), Known { floors: Floors::from([(one, 2), (two, 4)]), ..known });
        HELD.lock().unwrap().clear();
        std::fs::write(&path, "{\"replica\"").unwrap();
        let other = hold(&path).unwrap();
        assert!(other.floors.is_empty());
        remember(&Replica::new(other.replica, 4, Duration::ZERO), one, 1);
        HELD.lock().unwrap().clear();
        assert_eq!(hold(&path).unwrap().floors, Floors::from([(one, 1)]));
    }
}
