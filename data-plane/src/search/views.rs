//! Hits as the API shows them.

use serde::Serialize;
use utoipa::ToSchema;

use super::model::{Hit, Kind};

/// What was found, best first.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchAnswer {
    /// The hits.
    pub items: Vec<HitView>,
}

/// Something that was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct HitView {
    /// What it is.
    pub kind: Kind,
    /// Its id, of that kind.
    #[schema(example = "fil_01h455vb4pex5vsknk084sn02q")]
    pub id: String,
    /// Its name.
    pub name: String,
    /// The workspace that it is or lies in.
    pub workspace_id: String,
    /// The folder that it lies in; none for what lies at the top of its workspace.
    pub folder_id: Option<String>,
    /// How well it fits: more is better, comparable within one answer only.
    pub score: f64,
    /// The passage that fits best, what was searched for between `**`.
    pub snippet: String,
}

impl From<Hit> for HitView {
    fn from(hit: Hit) -> Self {
        Self {
            kind: hit.kind,
            id: hit.kind.id(hit.id),
            name: hit.name,
            workspace_id: hit.workspace.to_string(),
            folder_id: hit.folder.map(|folder| folder.to_string()),
            score: hit.score,
            snippet: hit.snippet,
        }
    }
}
