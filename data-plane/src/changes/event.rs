//! The words for what happens to content. Pure.

use rowhouse_domain::{AccountId, FileId, FolderId, ReservationId, WorkspaceId};

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It is new.
    Made,
    /// Its content is another.
    Revised,
    /// Its name, place, tags or the like are others.
    Changed,
    /// It is in the trash.
    Deleted,
    /// It is back from there.
    Restored,
    /// It is gone for good.
    Purged,
}

impl Verb {
    /// Whether there may be something new to read.
    pub(super) const fn is_of_content(self) -> bool {
        match self {
            Self::Made | Self::Revised => true,
            Self::Changed | Self::Deleted | Self::Restored | Self::Purged => false,
        }
    }

    /// Whether there may be something new to find.
    pub(super) const fn is_searchable(self) -> bool {
        match self {
            Self::Made | Self::Revised | Self::Changed | Self::Restored => true,
            // Search looks at live things only, and what it keeps of a purged one goes with it.
            Self::Deleted | Self::Purged => false,
        }
    }
}

/// What it has happened to. What lies in a folder or workspace and goes along has no word of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A file.
    File(FileId),
    /// A folder.
    Folder(FolderId),
    /// A workspace.
    Workspace(WorkspaceId),
}

impl From<FileId> for Subject {
    fn from(id: FileId) -> Self {
        Self::File(id)
    }
}

impl From<FolderId> for Subject {
    fn from(id: FolderId) -> Self {
        Self::Folder(id)
    }
}

impl From<WorkspaceId> for Subject {
    fn from(id: WorkspaceId) -> Self {
        Self::Workspace(id)
    }
}

/// Versions of a file that have come or gone, and with them what organization, tenant and account use. A workspace's own
/// count is moved with its row.
#[derive(Debug, Clone, Copy)]
pub struct Charge {
    /// The file.
    pub file: FileId,
    /// Its version, where it is about one.
    pub version: Option<i32>,
    /// So many more bytes; less than nothing where they are given back.
    pub bytes: i64,
    /// The storage account that is charged.
    pub account: Option<AccountId>,
    /// The reservation that ends with it.
    pub reservation: Option<ReservationId>,
}
