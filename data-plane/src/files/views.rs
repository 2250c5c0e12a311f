//! Files and versions as the API shows them.

use rowhouse_domain::{FileId, FolderId, VersionId, WorkspaceId};
use rowhouse_web::{ETag, Timestamp};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::model::{File, Version};
use super::said::split;

/// A file.
#[derive(Debug, Serialize, ToSchema)]
pub struct FileView {
    #[schema(value_type = String, example = "fil_01jd0000000000000000000000")]
    id: FileId,
    #[schema(value_type = String)]
    workspace_id: WorkspaceId,
    /// The folder that it lies in; none at the workspace's top.
    #[schema(value_type = Option<String>)]
    folder_id: Option<FolderId>,
    name: String,
    /// The kind that people think in: `document`, `image`, `archive` … and `other`.
    file_type: String,
    /// What the bytes are.
    mime_type: String,
    /// What their sender said that they are, where it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    declared_mime_type: Option<String>,
    /// Bytes of the current version.
    size: i64,
    /// SHA-256 of the current version, in hexadecimal.
    sha256: String,
    /// Number of the current version.
    version: i32,
    tags: Vec<String>,
    #[schema(value_type = Object)]
    metadata: Value,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// Since when the current version is found by search.
    #[serde(skip_serializing_if = "Option::is_none")]
    indexed_at: Option<Timestamp>,
    /// When it was deleted; only in lists of deleted files.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Timestamp>,
}

impl From<File> for FileView {
    fn from(file: File) -> Self {
        Self {
            id: file.id,
            workspace_id: file.workspace_id,
            folder_id: file.folder_id,
            name: file.name.to_string(),
            file_type: file.file_type,
            mime_type: file.mime_type,
            declared_mime_type: file.declared_mime_type,
            size: file.size,
            sha256: hex::encode(file.checksum),
            version: file.current_version,
            tags: file.tags,
            metadata: file.metadata,
            created_at: file.created_at.into(),
            updated_at: file.updated_at.into(),
            indexed_at: file.indexed_at.map(Into::into),
            deleted_at: file.deleted_at.map(Into::into),
        }
    }
}

/// The tag of a file's state; its content has one of its own.
pub(super) fn etag(file: &File) -> ETag {
    ETag::of_row(file.updated_at)
}

/// A version of a file.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionView {
    #[schema(value_type = String, example = "ver_01jd0000000000000000000000")]
    id: VersionId,
    #[schema(value_type = String)]
    file_id: FileId,
    /// Its number, for `?version=`.
    version: i32,
    size: i64,
    /// SHA-256 in hexadecimal.
    sha256: String,
    /// What the bytes are.
    mime_type: String,
    /// What their sender said that they are, where it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    declared_mime_type: Option<String>,
    /// What has changed with it, in the words of whoever made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    change_summary: Option<String>,
    /// What its sender said of it by S3 (`x-amz-meta-…`), where anything was: texts under names in lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    user_metadata: Option<Value>,
    /// Headers that its sender stated by S3 and that are told there again, where there are any: `cache-control`,
    /// `content-disposition`, `content-encoding`, `content-language`, `expires`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    content_headers: Option<Value>,
    /// MD5 in hexadecimal, where a sender of these bytes has stated it.
    #[serde(skip_serializing_if = "Option::is_none")]
    md5: Option<String>,
    created_at: Timestamp,
}

impl From<Version> for VersionView {
    fn from(version: Version) -> Self {
        let (user_metadata, content_headers) = split(version.user_metadata);
        Self {
            id: version.id,
            file_id: version.file_id,
            version: version.version_number,
            size: version.size,
            sha256: hex::encode(version.checksum),
            mime_type: version.mime_type,
            declared_mime_type: version.declared_mime_type,
            change_summary: version.change_summary,
            user_metadata,
            content_headers,
            md5: version.md5.map(hex::encode),
            created_at: version.created_at.into(),
        }
    }
}
