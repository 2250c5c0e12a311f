//! Jobs: what there is to do, for what, and how long to wait after a failure. Pure.

use std::time::Duration;

use rowhouse_domain::{AccountId, ContentKeyId, FileId, FolderId, JobId, ReservationId, WorkspaceId};
use rowhouse_problem::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::trees::{CopyOrder, RootKind};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Makes a file's name, metadata and content searchable.
    IndexFile,
    /// Makes a file's name, tags and metadata searchable, whose content is known or nothing to be read.
    IndexLabel,
    /// Makes a folder's name and metadata searchable.
    IndexFolder,
    /// Makes a workspace's name, tags and metadata searchable.
    IndexWorkspace,
    /// Queues the like for everything in a folder.
    IndexTree,
    /// Carries a usage event to `saas_platform`.
    Usage,
    /// Deletes what lies in a deleted folder or workspace.
    DeleteTree,
    /// Restores what was deleted with a folder or workspace.
    RestoreTree,
    /// Removes a deleted folder or workspace for good, with everything in it.
    PurgeTree,
    /// Copies what lies in a folder.
    CopyTree,
    /// Seals contents under the tenant's newest key.
    ResealContents,
    /// Removes versions of a file that its workspace's rules don't keep.
    PruneFile,
    /// The same for all files of a workspace.
    PruneWorkspace,
}

impl JobKind {
    /// Every kind that this release can do.
    pub const ALL: [Self; 13] = [
        Self::IndexFile,
        Self::IndexLabel,
        Self::IndexFolder,
        Self::IndexWorkspace,
        Self::IndexTree,
        Self::Usage,
        Self::DeleteTree,
        Self::RestoreTree,
        Self::PurgeTree,
        Self::CopyTree,
        Self::ResealContents,
        Self::PruneFile,
        Self::PruneWorkspace,
    ];

    /// The text in `jobs.kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IndexFile => "index_file",
            Self::IndexLabel => "index_label",
            Self::IndexFolder => "index_folder",
            Self::IndexWorkspace => "index_workspace",
            Self::IndexTree => "index_tree",
            Self::Usage => "usage",
            Self::DeleteTree => "delete_tree",
            Self::RestoreTree => "restore_tree",
            Self::PurgeTree => "purge_tree",
            Self::CopyTree => "copy_tree",
            Self::ResealContents => "reseal_contents",
            Self::PruneFile => "prune_file",
            Self::PruneWorkspace => "prune_workspace",
        }
    }

    /// Whether somebody may wait for it: then it is kept for a while when it is done.
    pub const fn is_watched(self) -> bool {
        match self {
            Self::DeleteTree | Self::RestoreTree | Self::PurgeTree | Self::CopyTree | Self::ResealContents => true,
            Self::IndexFile
            | Self::IndexLabel
            | Self::IndexFolder
            | Self::IndexWorkspace
            | Self::IndexTree
            | Self::Usage
            | Self::PruneFile
            | Self::PruneWorkspace => false,
        }
    }

    /// The kinds of which that is so.
    pub fn watched() -> Vec<&'static str> {
        Self::ALL.into_iter().filter(|kind| kind.is_watched()).map(Self::as_str).collect()
    }

    /// The kind that a text of `jobs.kind` stands for; none where a later release has queued it.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Something that was used and is to be counted once. The job's own id and time are the event's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageEvent {
    /// What kind of use; `storage` moves the used bytes of organization, tenant and account.
    pub event_type: String,
    /// How much; less than nothing where something was given back.
    pub quantity: i64,
    /// Of what: `bytes`, `requests` …
    pub unit: String,
    /// More about it, for a bill's reader.
    #[serde(default)]
    pub details: serde_json::Map<String, Value>,
    /// The reservation that ends with it, or the block that its part is taken out of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<ReservationId>,
    /// The storage account that is charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<AccountId>,
}

/// A job to queue.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub(super) id: JobId,
    pub(super) kind: JobKind,
    pub(super) subject: Option<Uuid>,
    pub(super) payload: Value,
}

impl NewJob {
    /// To index a file: after its upload, and after a new version.
    pub fn index_file(file: FileId) -> Self {
        Self::about(JobKind::IndexFile, file.as_uuid())
    }

    /// To index what a file is called: after any change of its name, tags or metadata, and where its content is nothing to be
    /// read.
    pub fn index_label(file: FileId) -> Self {
        Self::about(JobKind::IndexLabel, file.as_uuid())
    }

    /// To index a folder: after it was made or changed.
    pub fn index_folder(folder: FolderId) -> Self {
        Self::about(JobKind::IndexFolder, folder.as_uuid())
    }

    /// To index a workspace: after it was made or changed.
    pub fn index_workspace(workspace: WorkspaceId) -> Self {
        Self::about(JobKind::IndexWorkspace, workspace.as_uuid())
    }

    /// To index everything in a folder: after it was copied.
    pub fn index_tree(folder: FolderId) -> Self {
        Self::about(JobKind::IndexTree, folder.as_uuid())
    }

    /// To see to the rules for versions after a file has got one.
    pub fn prune_file(file: FileId) -> Self {
        Self::about(JobKind::PruneFile, file.as_uuid())
    }

    /// To see to a workspace's rules for versions.
    pub fn prune_workspace(workspace: WorkspaceId) -> Self {
        Self::about(JobKind::PruneWorkspace, workspace.as_uuid())
    }

    /// To report a use.
    pub fn usage(event: &UsageEvent) -> Self {
        let payload = serde_json::to_value(event).expect("an event is plain JSON");
        // By which a block of quota knows its own.
        let subject = event.reservation_id.map(|id| id.as_uuid());
        Self { id: JobId::new(), kind: JobKind::Usage, subject, payload }
    }

    /// To go on with what lies in a folder or workspace.
    pub fn tree(kind: JobKind, root: Uuid, root_kind: RootKind) -> Self {
        Self { id: JobId::new(), kind, subject: Some(root), payload: json!({ "root": root_kind }) }
    }

    /// To go on with the copy of a folder, as `order` says.
    pub fn copy(root: FolderId, order: &CopyOrder) -> Self {
        let payload = serde_json::to_value(order).expect("an order is plain JSON");
        Self { id: JobId::new(), kind: JobKind::CopyTree, subject: Some(root.as_uuid()), payload }
    }

    /// To seal contents anew, under this key.
    pub fn reseal(key: ContentKeyId) -> Self {
        Self::about(JobKind::ResealContents, key.as_uuid())
    }

    /// Its id, by which it can be asked for.
    pub fn id(&self) -> JobId {
        self.id
    }

    fn about(kind: JobKind, subject: Uuid) -> Self {
        Self { id: JobId::new(), kind, subject: Some(subject), payload: Value::Object(serde_json::Map::new()) }
    }
}

/// A job that this process has taken on.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: JobId,
    pub(super) kind: JobKind,
    pub(super) subject: Option<Uuid>,
    pub(super) payload: Value,
    /// This attempt included.
    pub(super) attempts: i32,
    pub(super) created_at: jiff::Timestamp,
}

impl Job {
    /// The event that a job of kind `usage` carries.
    pub(super) fn usage_event(&self) -> Result<UsageEvent> {
        serde_json::from_value(self.payload.clone()).map_err(Error::internal)
    }

    /// What the job is about.
    pub(super) fn subject(&self) -> Result<Uuid> {
        self.subject
            .ok_or_else(|| Error::internal(format!("job {} of kind {} names nothing", self.id, self.kind.as_str())))
    }
}

/// The shortest and the longest pause before a job is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10 * 60));

/// How long to wait after an attempt that failed by the job's own fault: twice as long each time.
pub(super) fn backoff(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(16);
    PAUSES.0.saturating_mul(1 << doublings).min(PAUSES.1)
}

/// How long to wait where something else failed: half as long as the job has waited in all, so that a short outage
/// is over soon and a long one costs little.
pub(super) fn patience(age: Duration) -> Duration {
    (age / 2).clamp(PAUSES.0, PAUSES.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_their_text() {
        for kind in JobKind::ALL {
            assert_eq!(JobKind::from_text(kind.as_str()), Some(kind));
        }
        assert_eq!(JobKind::from_text("dance"), None);
    }

    #[test]
    fn pauses_double_up_to_a_limit() {
        let seconds = [1, 2, 3, 9, 10, 1000].map(|attempts| backoff(attempts).as_secs());
        assert_eq!(seconds, [2, 4, 8, 512, 600, 600]);
    }

    #[test]
    fn patience_grows_with_the_outage() {
        let seconds = [0, 10, 60, 86_400].map(|age| patience(Duration::from_secs(age)).as_secs());
        assert_eq!(seconds, [2, 5, 30, 600]);
    }

    #[test]
    fn an_event_survives_its_payload() {
        let event = UsageEvent {
            event_type: "storage".to_owned(),
            quantity: -5,
            unit: "bytes".to_owned(),
            details: serde_json::Map::new(),
            reservation_id: Some(ReservationId::new()),
            account_id: None,
        };
        assert_eq!(serde_json::from_value::<UsageEvent>(NewJob::usage(&event).payload).unwrap(), event);
    }
}
