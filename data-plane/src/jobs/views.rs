//! Long jobs as the API shows them.

use rowhouse_domain::JobId;
use rowhouse_web::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// Work that goes on after its request was answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobView {
    #[schema(value_type = String, example = "job_01jd0000000000000000000000")]
    pub(super) id: JobId,
    /// `delete_tree`, `restore_tree`, `copy_tree`, `purge_tree` or `reseal_contents`.
    pub(super) kind: String,
    /// The folder, workspace or content key that it is about.
    pub(super) subject: String,
    /// `queued`, `running`, `done`, `failed` or `cancelled`.
    pub(super) state: String,
    /// Folders and files, or contents, that it has dealt with.
    pub(super) done: i64,
    /// As many as there were when it began; none before that, and it grows while they are counted.
    pub(super) total: Option<i64>,
    /// What went wrong, where something did.
    pub(super) error: Option<&'static str>,
    pub(super) created_at: Timestamp,
    /// None while it is under way.
    pub(super) finished_at: Option<Timestamp>,
}
