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

/// The places of folders, of which the first is the archive's own.
pub(super) fn places(folders: Vec<Folder>) -> Vec<Place> {
    let mut numbers: HashMap<FolderId, usize> = HashMap::with_capacity(folders.len());
    let mut places: Vec<Place> = Vec::with_capacity(folders.len());
    for folder in folders {
        let parent = folder.parent.and_then(|parent| numbers.get(&parent)).map(|number| &mut places[*number]);
        let path = match parent {
            None => String::new(),
            Some(parent) => {
                parent.taken.insert(folder.name.normalized());
                format!("{}{}/", parent.path, folder.name)
            }
        };
        numbers.insert(folder.id, places.len());
        places.push(Place { id: folder.id, path, taken: HashSet::new() });
    }
    places
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
