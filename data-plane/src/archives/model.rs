//! What lies in an archive, and by which names. Pure.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use rowhouse_domain::{FileId, FolderId, ItemName};

use super::writer::Entry;
use crate::contents::Object;

/// A folder as the database has it, outer ones first.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) id: FolderId,
    pub(super) parent: Option<FolderId>,
    pub(super) name: ItemName,
}

/// A folder in the archive.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) id: FolderId,
    /// `a/b/`; nothing for the archive's own folder.
    pub(super) path: String,
    /// The names of the folders in it, as names are compared: a file may have the same.
    taken: HashSet<String>,
}

/// A file's content.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) id: FileId,
    pub(super) name: ItemName,
    pub(super) mime_type: String,
    pub(super) size: u64,
    pub(super) object: Object,
    pub(super) changed_at: Timestamp,
}

/// The places of folders, of which the first is the archive's own; none where their paths come to more than so many bytes.
pub(super) fn places(folders: Vec<Folder>, most_bytes: usize) -> Option<Vec<Place>> {
    let mut numbers: HashMap<FolderId, usize> = HashMap::with_capacity(folders.len());
    let mut places: Vec<Place> = Vec::with_capacity(folders.len());
    let mut bytes = 0;
    for folder in folders {
        let parent = folder.parent.and_then(|parent| numbers.get(&parent)).map(|number| &mut places[*number]);
        let path = match parent {
            None => String::new(),
            Some(parent) => {
                parent.taken.insert(folder.name.normalized());
                format!("{}{}/", parent.path, folder.name)
            }
        };
        bytes += path.len();
        if bytes > most_bytes {
            return None;
        }
        numbers.insert(folder.id, places.len());
        places.push(Place { id: folder.id, path, taken: HashSet::new() });
    }
    Some(places)
}

/// What the files of a folder come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Files {
    pub(super) folder: FolderId,
    pub(super) count: usize,
    /// Bytes of their names.
    pub(super) names: usize,
}

/// Bytes of all paths in an archive.
pub(super) fn path_bytes(places: &[Place], files: &[Files]) -> usize {
    let lengths: HashMap<FolderId, usize> = places.iter().map(|place| (place.id, place.path.len())).collect();
    let of_files = files.iter().map(|files| files.count * lengths.get(&files.folder).unwrap_or(&0) + files.names);
    lengths.values().sum::<usize>() + of_files.sum::<usize>()
}

impl Place {
    /// The path of a file's entry: no other entry has it, whatever the case. Names are single segments of a path, so no entry
    /// leaves the folder that the archive is unpacked in.
    fn path_of(&self, content: &Content) -> String {
        let name = content.name.as_str();
        if !self.taken.contains(&content.name.normalized()) {
            return format!("{}{name}", self.path);
        }
        // A folder beside it has the same name; ids are unique.
        format!("{}{name} ({})", self.path, content.id)
    }
}

impl Content {
    /// Its entry.
    pub(super) fn entry_in(&self, place: &Place) -> Entry {
        Entry { path: place.path_of(self), size: self.size, shrinks: self.shrinks(), changed_at: self.changed_at }
    }

    fn shrinks(&self) -> bool {
        let kind = self.mime_type.as_str();
        let is_text = kind.starts_with("text/")
            || ["json", "xml", "javascript", "yaml", "sql", "rtf"].iter().any(|word| kind.contains(word));
        // The office formats are compressed already.
        self.size > 512 && is_text && !kind.contains("openxml")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_added_up_before_they_are_made() {
        let ids: Vec<FolderId> = (0..4).map(|_| FolderId::new()).collect();
        let chain = || {
            let folder = |(place, id): (usize, &FolderId)| Folder {
                id: *id,
                parent: place.checked_sub(1).map(|outer| ids[outer]),
                name: ItemName::parse("123456789").unwrap(),
            };
            ids.iter().enumerate().map(folder).collect::<Vec<_>>()
        };
        // The archive's own folder has no path, those in it have 10, 20 and 30 bytes.
        assert!(places(chain(), 59).is_none());
        let places = places(chain(), 60).unwrap();
        assert_eq!(path_bytes(&places, &[]), 60);
        let files = [Files { folder: ids[3], count: 100, names: 250 }, Files { folder: ids[0], count: 2, names: 7 }];
        assert_eq!(path_bytes(&places, &files), 60 + 100 * 30 + 250 + 7);
    }
}
