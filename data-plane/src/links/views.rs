//! Links as the API shows them.

use rowhouse_domain::{FileId, FolderId, KeyId, LinkId, WorkspaceId};
use rowhouse_web::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::model::{Grant, Link};

/// A link.
#[derive(Debug, Serialize, ToSchema)]
pub struct LinkView {
    #[schema(value_type = String, example = "lnk_01jd0000000000000000000000")]
    id: LinkId,
    /// The address that opens it, to be used as it is. Only in the answer to its making: whoever has it needs no key.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The HTTP method that it is for: `GET` (and `HEAD`), or `PUT`.
    method: &'static str,
    /// Of a download: the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    file_id: Option<FileId>,
    /// Of a download: the version, where it is not the one that is current.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i32>,
    /// Of an upload: where the file goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    workspace_id: Option<WorkspaceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    folder_id: Option<FolderId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Of an upload: the size that it must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// Of an upload: the media type that it must have, where it must.
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    /// The key that made it.
    #[schema(value_type = String)]
    key_id: KeyId,
    expires_at: Timestamp,
    /// When it was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
    created_at: Timestamp,
}

impl LinkView {
    /// With the address that opens it.
    #[must_use]
    pub fn with_url(mut self, url: String) -> Self {
        self.url = Some(url);
        self
    }
}

impl From<Link> for LinkView {
    fn from(link: Link) -> Self {
        let method = link.grant.method();
        let (mut file_id, mut version, mut workspace_id, mut folder_id) = (None, None, None, None);
        let (mut name, mut size, mut media_type) = (None, None, None);
        match link.grant {
            Grant::Download { file, version: number, inline: _ } => (file_id, version) = (Some(file), number),
            Grant::Upload { place, size: bytes, media_type: kind } => {
                (workspace_id, folder_id) = (Some(place.workspace), place.folder);
                (name, size, media_type) = (Some(place.name.to_string()), Some(bytes), kind);
            }
        }
        Self {
            id: link.id,
            url: None,
            method,
            file_id,
            version,
            workspace_id,
            folder_id,
            name,
            size,
            media_type,
            key_id: link.key,
            expires_at: link.expires_at.into(),
            revoked_at: link.revoked_at.map(Into::into),
            created_at: link.created_at.into(),
        }
    }
}
