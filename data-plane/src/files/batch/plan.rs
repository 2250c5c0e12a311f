//! What a batch comes to: each item is tried on what was read under locks, which stays as it is until the transaction ends.
//! Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use rowhouse_domain::{BlobId, FileId, FolderId, VersionId, WorkspaceId};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::IfMatch;
use serde_json::Value;

use super::model::{Item, Task};
use crate::files::model::{File, FileChange};
use crate::files::store::name_taken;
use crate::files::versions;
use crate::files::views::etag;
use crate::workspaces::model::Room;

/// The workspace that a file lies in, and the folder.
pub(super) type Place = (WorkspaceId, Option<FolderId>);
/// A name in its place, in the form that is unique there.
pub(super) type Name = (WorkspaceId, Option<FolderId>, String);

/// The very version that is to be copied, as it was when its room was reserved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen {
    pub(super) id: VersionId,
    pub(super) number: i32,
    pub(super) size: i64,
}

/// A version that is copied.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) blob: BlobId,
    pub(super) size: i64,
    pub(super) checksum: Vec<u8>,
    pub(super) mime_type: String,
    pub(super) declared_mime_type: Option<String>,
    pub(super) user_metadata: Option<Value>,
}

/// A copy that is to be made.
pub(super) struct Copied {
    pub(super) file: File,
    pub(super) source: Source,
}

/// What an item has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Updated(FileId),
    Copied(FileId),
    Deleted,
    Restored(FileId),
}

/// Everything that the items are about, as the items before have left it.
#[derive(Default)]
pub(super) struct World {
    pub(super) files: HashMap<FileId, File>,
    /// Bytes of all versions, of files that may go to another workspace.
    pub(super) sizes: HashMap<FileId, i64>,
    /// The live workspaces.
    pub(super) rooms: HashMap<WorkspaceId, Room>,
    /// The live folders.
    pub(super) folders: HashMap<FolderId, WorkspaceId>,
    /// Who has the names that are wanted.
    names: HashMap<Name, FileId>,
    had: HashMap<Name, FileId>,
    pub(super) sources: HashMap<VersionId, Source>,
    writes: Writes,
}

/// What is to be written, in this order.
#[derive(Default)]
pub(super) struct Writes {
    pub(super) deleted: Vec<FileId>,
    /// Files whose names others take.
    pub(super) vacated: Vec<FileId>,
    pub(super) updated: Vec<FileId>,
    pub(super) restored: Vec<FileId>,
    pub(super) copied: Vec<Copied>,
    pub(super) shifts: BTreeMap<WorkspaceId, i64>,
}

/// The name that a file has where it lies.
pub(super) fn name_of(file: &File) -> Name {
    (file.workspace_id, file.folder_id, file.name.normalized())
}

impl World {
    /// Says who has the names that are wanted.
    pub(super) fn set_names(&mut self, names: HashMap<Name, FileId>) {
        self.had.clone_from(&names);
        self.names = names;
    }

    /// Every name that an item may want, whatever comes of those before it.
    pub(super) fn wanted_names(&self, items: &[Item]) -> Vec<Name> {
        let (mut wanted, mut changed) = (HashSet::new(), HashMap::new());
        for item in items {
            let Some(file) = self.files.get(&item.id) else { continue };
            match &item.task {
                Task::Update(change) => {
                    let mut after = file.clone();
                    change.apply(&mut after);
                    wanted.insert(name_of(&after));
                    changed.insert(item.id, after);
                }
                Task::Copy { change, .. } => {
                    for source in [Some(file), changed.get(&item.id)].into_iter().flatten() {
                        let mut copy = source.clone();
                        change.apply(&mut copy);
                        wanted.insert(name_of(&copy));
                    }
                }
                Task::Restore => {
                    wanted.insert(name_of(&self.back(file)));
                }
                Task::Delete | Task::Refused(_) => {}
            }
        }
        wanted.into_iter().collect()
    }

    /// Does what an item asks for, or nothing. A copy is of this version.
    ///
    /// # Errors
    /// Those that it would be refused with alone.
    pub(super) fn carry_out(&mut self, item: &Item, chosen: Option<Chosen>) -> Result<Done> {
        match &item.task {
            Task::Update(change) => self.update(item.id, &item.condition, change),
            Task::Copy { change, version } => {
                let chosen = chosen.ok_or_else(|| match (self.live(item.id), version) {
                    (Ok(_), Some(version)) => versions::store::not_found(item.id, *version),
                    _ => Error::not_found("file", item.id),
                })?;
                self.copy(item.id, &item.condition, change, chosen)
            }
            Task::Delete => self.delete(item.id, &item.condition),
            Task::Restore => self.restore(item.id, &item.condition),
            Task::Refused(complaints) => Err(Error::invalid(complaints.clone())),
        }
    }

    fn update(&mut self, id: FileId, condition: &IfMatch, change: &FileChange) -> Result<Done> {
        let before = self.live(id)?.clone();
        condition.check(&etag(&before))?;
        let mut after = before.clone();
        change.apply(&mut after);
        if after.folder_id != before.folder_id || after.workspace_id != before.workspace_id {
            self.check_place(&after)?;
        }
        self.check_name(&after)?;
        if after.workspace_id != before.workspace_id {
            let size = self.sizes.get(&id).copied().unwrap_or_default();
            self.charge(after.workspace_id, size)?;
            self.uncharge(before.workspace_id, size);
        }
        self.names.remove(&name_of(&before));
        self.names.insert(name_of(&after), id);
        self.files.insert(id, after);
        self.writes.updated.push(id);
        Ok(Done::Updated(id))
    }

    fn copy(&mut self, id: FileId, condition: &IfMatch, change: &FileChange, chosen: Chosen) -> Result<Done> {
        let file = self.live(id)?;
        condition.check(&etag(file))?;
        let mut copy = File { id: FileId::new(), ..file.clone() };
        change.apply(&mut copy);
        let source = self.sources.get(&chosen.id).cloned();
        let source = source.ok_or_else(|| versions::store::not_found(id, chosen.number))?;
        self.check_place(&copy)?;
        self.check_name(&copy)?;
        self.charge(copy.workspace_id, source.size)?;
        let made = copy.id;
        self.names.insert(name_of(&copy), made);
        self.writes.copied.push(Copied { file: copy, source });
        Ok(Done::Copied(made))
    }

    fn delete(&mut self, id: FileId, condition: &IfMatch) -> Result<Done> {
        let file = self.live(id)?;
        condition.check(&etag(file))?;
        let name = name_of(file);
        self.names.remove(&name);
        self.files.remove(&id);
        self.writes.deleted.push(id);
        Ok(Done::Deleted)
    }

    fn restore(&mut self, id: FileId, condition: &IfMatch) -> Result<Done> {
        let file = self.files.get(&id).ok_or_else(|| Error::not_found("file", id))?;
        if file.deleted_at.is_none() {
            return Err(Error::new(Code::InvalidTransition, "The file is not deleted."));
        }
        condition.check(&etag(file))?;
        let after = self.back(file);
        self.check_place(&after)?;
        self.check_name(&after)?;
        self.names.insert(name_of(&after), id);
        self.files.insert(id, after);
        self.writes.restored.push(id);
        Ok(Done::Restored(id))
    }

    /// A deleted file as it comes back: to its folder, or to the workspace's top where that is gone.
    fn back(&self, file: &File) -> File {
        let folder = file.folder_id.filter(|folder| self.folders.get(folder) == Some(&file.workspace_id));
        File { folder_id: folder, deleted_at: None, ..file.clone() }
    }

    fn live(&self, id: FileId) -> Result<&File> {
        self.files
            .get(&id)
            .filter(|file| file.deleted_at.is_none() && self.rooms.contains_key(&file.workspace_id))
            .ok_or_else(|| Error::not_found("file", id))
    }

    fn check_place(&self, file: &File) -> Result<()> {
        if !self.rooms.contains_key(&file.workspace_id) {
            return Err(Error::not_found("workspace", file.workspace_id));
        }
        match file.folder_id {
            Some(folder) if self.folders.get(&folder) != Some(&file.workspace_id) => {
                Err(Error::not_found("folder", folder))
            }
            _ => Ok(()),
        }
    }

    fn check_name(&self, file: &File) -> Result<()> {
        if self.names.get(&name_of(file)).is_some_and(|owner| *owner != file.id) {
            return Err(name_taken());
        }
        Ok(())
    }

    fn charge(&mut self, workspace: WorkspaceId, size: i64) -> Result<()> {
        let room = self.rooms.get_mut(&workspace).ok_or_else(|| Error::not_found("workspace", workspace))?;
        room.check(size.unsigned_abs())?;
        room.used += size;
        *self.writes.shifts.entry(workspace).or_default() += size;
        Ok(())
    }

    fn uncharge(&mut self, workspace: WorkspaceId, size: i64) {
        if let Some(room) = self.rooms.get_mut(&workspace) {
            room.used = (room.used - size).max(0);
        }
        *self.writes.shifts.entry(workspace).or_default() -= size;
    }

    /// What all items have come to, and the files as they are to be.
    pub(super) fn into_writes(mut self) -> (Writes, HashMap<FileId, File>) {
        let updated: HashSet<FileId> = self.writes.updated.iter().copied().collect();
        // A name that a file gives up and another one takes.
        let handed_on = |(name, owner): (&Name, &FileId)| {
            let had = self.had.get(name).filter(|had| *had != owner && updated.contains(had))?;
            Some(*had)
        };
        self.writes.vacated = self.names.iter().filter_map(handed_on).collect();
        self.writes.shifts.retain(|_, bytes| *bytes != 0);
        (self.writes, self.files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rowhouse_domain::ItemName;
    use serde_json::json;

    fn file(workspace: WorkspaceId, name: &str) -> File {
        let now = jiff::Timestamp::UNIX_EPOCH;
        File {
            id: FileId::new(),
            workspace_id: workspace,
            folder_id: None,
            name: ItemName::parse(name).unwrap(),
            file_type: "other".to_owned(),
            mime_type: "text/plain".to_owned(),
            declared_mime_type: None,
            current_version: 1,
            size: 10,
            checksum: vec![0; 32],
            tags: Vec::new(),
            metadata: json!({}),
            created_at: now,
            updated_at: now,
            deleted_at: None,
            indexed_at: None,
        }
    }

    fn world(files: &[&File], rooms: &[(WorkspaceId, Option<i64>, i64)]) -> World {
        let mut world = World::default();
        for file in files {
            world.files.insert(file.id, (*file).clone());
            world.sizes.insert(file.id, 10);
        }
        world.rooms = rooms.iter().map(|(id, quota, used)| (*id, Room { quota: *quota, used: *used })).collect();
        world.set_names(files.iter().map(|file| (name_of(file), file.id)).collect());
        world
    }

    fn update(id: FileId, change: serde_json::Value) -> Item {
        let body: crate::files::model::ChangeFile = serde_json::from_value(change).unwrap();
        Item { id, condition: IfMatch::default(), task: Task::Update(body.parse().unwrap()) }
    }

    #[test]
    fn a_name_that_is_given_up_can_be_taken() {
        let place = WorkspaceId::new();
        let (one, other) = (file(place, "a"), file(place, "b"));
        let mut world = world(&[&one, &other], &[(place, None, 20)]);
        let refused = world.carry_out(&update(other.id, json!({"name": "A"})), None).unwrap_err();
        assert_eq!(refused.code(), Code::NameTaken);
        world.carry_out(&update(one.id, json!({"name": "c"})), None).unwrap();
        world.carry_out(&update(other.id, json!({"name": "A"})), None).unwrap();
        let (writes, _) = world.into_writes();
        assert_eq!((writes.vacated, writes.updated), (vec![one.id], vec![one.id, other.id]));
    }

    #[test]
    fn room_is_counted_item_by_item() {
        let (from, to) = (WorkspaceId::new(), WorkspaceId::new());
        let (one, other) = (file(from, "a"), file(from, "b"));
        let mut world = world(&[&one, &other], &[(from, Some(5), 20), (to, Some(15), 0)]);
        world.carry_out(&update(one.id, json!({"workspace_id": to})), None).unwrap();
        let refused = world.carry_out(&update(other.id, json!({"workspace_id": to})), None).unwrap_err();
        assert_eq!(refused.code(), Code::QuotaExceeded);
        let (writes, files) = world.into_writes();
        assert_eq!(writes.shifts, BTreeMap::from([(from, -10), (to, 10)]));
        assert_eq!((files[&one.id].workspace_id, files[&other.id].workspace_id), (to, from));
    }
}
