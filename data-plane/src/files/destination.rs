//! Where an upload goes: checked before its body is read, and again, under locks, when it is recorded.

use rowhouse_database::Sql;
use rowhouse_domain::{AccountId, BlobId, FileId, ItemName, WorkspaceId};
use rowhouse_problem::{Error, Result};
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
}

impl Destination {
    /// The name that the content goes by.
    pub(super) fn name(&self) -> &ItemName {
        match self {
            Self::New(_, place) => &place.name,
            Self::Version(file, _) => &file.name,
        }
    }

    /// The workspace that it goes to, as far as is known before the lock.
    pub(super) fn workspace(&self) -> WorkspaceId {
        match self {
            Self::New(_, place) => place.workspace,
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
            Self::Version(file, condition) => condition.check(&ETag::of_content(&file.checksum))?,
        }
        Ok(room)
    }

    /// Records file and version. The workspace's row is locked first, then folder or file: the order of every change.
    pub(super) async fn record(
        &self,
        change: &Change<'_>,
        blob: BlobId,
        content: &Content<'_>,
        account: Option<AccountId>,
    ) -> Result<File> {
        workspaces::store::charge(change, self.workspace(), content.size).await?;
        match self {
            Self::New(id, place) => {
                if let Some(folder) = place.folder {
                    folders::store::hold(change, folder, place.workspace).await?;
                }
                let file = store::insert(change, *id, place, content, change.actor()).await?;
                versions::store::insert(change, *id, file.current_version, blob, content, account, change.actor())
                    .await?;
                change.record(Verb::Made, *id).await?;
                Ok(file)
            }
            Self::Version(seen, condition) => {
                let file = store::lock(change, seen.id).await?;
                if file.workspace_id != seen.workspace_id {
                    return Err(Error::unavailable(
                        "the file was moved to another workspace while its version came in",
                    ));
                }
                condition.check(&ETag::of_content(&file.checksum))?;
                let number = file.current_version + 1;
                versions::store::insert(change, file.id, number, blob, content, account, change.actor()).await?;
                change.record(Verb::Revised, file.id).await?;
                store::set_content(change, file.id, number, content).await
            }
        }
    }
}
