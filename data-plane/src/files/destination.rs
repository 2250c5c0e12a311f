//! Where an upload goes: checked before its body is read, and again, under locks, when it is recorded.

use rowhouse_database::Sql;
use rowhouse_domain::{AccountId, BlobId, FileId, ItemName, WorkspaceId};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{ETag, IfMatch};

use super::model::{File, Place};
use super::store::{self, Content};
use super::versions;
use crate::changes::{Change, Verb};
use crate::workspaces::model::Room;
use crate::{folders, workspaces};

/// What an upload makes.
pub(super) enum Destination {
    /// A new file.
    New(FileId, Place),
    /// A new version of a file, if its content is still what the caller knows.
    Version(Box<File>, IfMatch),
    /// A new version of the file of this name, or a new file where there is none; the tag is of the content there.
    Put(FileId, Place, IfMatch),
}

impl Destination {
    /// The name that the content goes by.
    pub(super) fn name(&self) -> &ItemName {
        match self {
            Self::New(_, place) | Self::Put(_, place, _) => &place.name,
            Self::Version(file, _) => &file.name,
        }
    }

    /// The workspace that it goes to, as far as is known before the lock.
    pub(super) fn workspace(&self) -> WorkspaceId {
        match self {
            Self::New(_, place) | Self::Put(_, place, _) => place.workspace,
            Self::Version(file, _) => file.workspace_id,
        }
    }

    /// Refuses what could not be recorded anyway, and says how much room the workspace has.
    pub(super) async fn check(&self, tenant: &impl Sql) -> Result<Room> {
        let room = workspaces::store::room(tenant, self.workspace()).await?;
        match self {
            Self::New(_, place) => {
                if let Some(folder) = place.folder {
                    folders::store::check(tenant, folder, place.workspace).await?;
                }
                if store::is_taken(tenant, place).await? {
                    return Err(store::name_taken());
                }
            }
            Self::Put(_, place, _) => {
                if let Some(folder) = place.folder {
                    folders::store::check(tenant, folder, place.workspace).await?;
                }
            }
            Self::Version(file, condition) => condition.check(&ETag::of_content(&file.checksum))?,
        }
        Ok(room)
    }

    /// Takes the room and the locks that it needs: the workspace first, then folder and file, as every change does.
    pub(super) async fn hold(&self, change: &Change<'_>, size: i64) -> Result<Held<'_>> {
        workspaces::store::charge(change, self.workspace(), size, self.name()).await?;
        match self {
            Self::New(id, place) => {
                hold_folder(change, place).await?;
                Ok(Held::New(*id, place))
            }
            Self::Put(id, place, condition) => {
                hold_folder(change, place).await?;
                // The workspace was charged for the name, so no other one that has it comes in between.
                match store::lock_at(change, place).await? {
                    Some(file) => {
                        condition.check(&ETag::of_content(&file.checksum))?;
                        Ok(Held::Version(Box::new(file)))
                    }
                    None if condition.is_present() => {
                        Err(Error::new(Code::PreconditionFailed, "There is no file of this name any more."))
                    }
                    None => Ok(Held::New(*id, place)),
                }
            }
            Self::Version(seen, condition) => {
                let file = store::lock(change, seen.id).await?;
                if file.workspace_id != seen.workspace_id {
                    return Err(Error::unavailable(
                        "the file was moved to another workspace while its version came in",
                    ));
                }
                condition.check(&ETag::of_content(&file.checksum))?;
                Ok(Held::Version(Box::new(file)))
            }
        }
    }
}

/// A place that nobody else changes until the transaction ends.
pub(super) enum Held<'a> {
    New(FileId, &'a Place),
    Version(Box<File>),
}

impl Held<'_> {
    /// Records file and version. Blobs are locked after everything else, so before this and after [`Destination::hold`].
    pub(super) async fn record(
        self,
        change: &Change<'_>,
        blob: BlobId,
        content: &Content<'_>,
        account: Option<AccountId>,
    ) -> Result<File> {
        match self {
            Self::New(id, place) => make(change, id, place, blob, content, account).await,
            Self::Version(file) => revise(change, &file, blob, content, account).await,
        }
    }
}

async fn hold_folder(change: &Change<'_>, place: &Place) -> Result<()> {
    match place.folder {
        Some(folder) => folders::store::hold(change, folder, place.workspace).await,
        None => Ok(()),
    }
}

async fn make(
    change: &Change<'_>,
    id: FileId,
    place: &Place,
    blob: BlobId,
    content: &Content<'_>,
    account: Option<AccountId>,
) -> Result<File> {
    let file = store::insert(change, id, place, content, change.actor()).await?;
    versions::store::insert(change, id, file.current_version, blob, content, account, change.actor()).await?;
    change.record_content(Verb::Made, id, content.mime_type).await?;
    Ok(file)
}

async fn revise(
    change: &Change<'_>,
    file: &File,
    blob: BlobId,
    content: &Content<'_>,
    account: Option<AccountId>,
) -> Result<File> {
    let number = file.current_version + 1;
    versions::store::insert(change, file.id, number, blob, content, account, change.actor()).await?;
    let after = store::set_content(change, file.id, number, content).await?;
    change.record_content(Verb::Revised, file.id, content.mime_type).await?;
    versions::keep::queue(change, &after).await?;
    Ok(after)
}
