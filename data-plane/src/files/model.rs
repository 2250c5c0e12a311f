//! What a file is and what may be asked of it. Pure.

use jiff::Timestamp;
use rowhouse_domain::{FileId, FolderId, ItemName, VersionId, WorkspaceId};
use rowhouse_problem::Result;
use rowhouse_web::PageQuery;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::folders::model::Order;
use crate::serial::{Checks, nullable};

/// A file.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of `files`, explained where the table is made")]
pub struct File {
    pub id: FileId,
    pub workspace_id: WorkspaceId,
    pub folder_id: Option<FolderId>,
    pub name: ItemName,
    pub file_type: String,
    pub mime_type: String,
    pub declared_mime_type: Option<String>,
    pub current_version: i32,
    pub size: i64,
    pub checksum: Vec<u8>,
    pub tags: Vec<String>,
    pub metadata: Value,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
    pub indexed_at: Option<Timestamp>,
}

/// A version of a file.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of `file_versions`, explained where the table is made")]
pub struct Version {
    pub id: VersionId,
    pub file_id: FileId,
    pub version_number: i32,
    pub size: i64,
    pub checksum: Vec<u8>,
    pub mime_type: String,
    pub declared_mime_type: Option<String>,
    pub user_metadata: Option<Value>,
    pub change_summary: Option<String>,
    pub md5: Option<Vec<u8>>,
    pub created_at: Timestamp,
}

/// Where a new file goes; in a form the same three may be fields before the file.
#[derive(Debug, Clone, Default, Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UploadQuery {
    /// The workspace that it goes to.
    #[param(value_type = String, required = true, example = "wrk_01jd0000000000000000000000")]
    pub workspace_id: Option<WorkspaceId>,
    /// The folder that it goes to; absent for the workspace's top.
    #[param(value_type = Option<String>)]
    pub folder_id: Option<FolderId>,
    /// Unique, whatever its case, in its folder; a form may leave it to the name of the part.
    #[param(required = true, example = "report.pdf")]
    pub name: Option<String>,
}

/// Longest words about a new version, in characters.
const MAX_CHANGE_SUMMARY: usize = 2_000;

/// What is said of a new version.
#[derive(Debug, Clone, Default, Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RevisionQuery {
    /// What has changed, in 1 to 2,000 characters; told with the version.
    #[param(example = "Corrected the totals")]
    change_summary: Option<String>,
}

impl RevisionQuery {
    /// Checks what is said.
    ///
    /// # Errors
    /// Invalid, where it is empty, too long, or no text.
    pub(super) fn change_summary(self) -> Result<Option<String>> {
        let mut checks = Checks::default();
        let summary = self.change_summary.map(|text| checks.text("change_summary", text, MAX_CHANGE_SUMMARY));
        checks.finish()?;
        Ok(summary)
    }
}

/// The place and name of a new file.
#[derive(Debug, Clone)]
pub struct Place {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The folder, or none for the workspace's top.
    pub folder: Option<FolderId>,
    /// The name.
    pub name: ItemName,
}

impl Place {
    /// Checks where a new file is to go.
    ///
    /// # Errors
    /// Invalid, with every parameter that is missing or not valid.
    pub fn parse(query: &UploadQuery) -> Result<Self> {
        let mut checks = Checks::default();
        if query.workspace_id.is_none() {
            checks.complain("workspace_id", "is missing");
        }
        let name = match &query.name {
            Some(name) => checks.name("name", name),
            None => {
                checks.complain("name", "is missing");
                None
            }
        };
        checks.finish()?;
        Ok(Self {
            workspace: query.workspace_id.expect("a missing id was complained about"),
            folder: query.folder_id,
            name: name.expect("a missing name was complained about"),
        })
    }
}

/// What a list of files goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// The order of their making.
    #[default]
    CreatedAt,
    /// Their names, whatever the case.
    Name,
    /// The size of their current versions.
    Size,
    /// Their last change.
    UpdatedAt,
}

impl Sort {
    /// The word for it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::CreatedAt => "created_at",
            Self::Name => "name",
            Self::Size => "size",
            Self::UpdatedAt => "updated_at",
        }
    }
}

/// Which files to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListFiles {
    /// Only those of this workspace.
    #[param(value_type = Option<String>)]
    pub(super) workspace_id: Option<WorkspaceId>,
    /// Only those directly in this folder; `root` for those at the top of the workspace.
    pub(super) folder_id: Option<String>,
    /// `true` for deleted files that can be restored, instead of live ones.
    #[serde(default)]
    pub(super) deleted: bool,
    /// Only those with this tag.
    pub(super) tag: Option<String>,
    /// Only those whose metadata has all fields of this JSON object, with these values.
    #[param(example = "{\"year\":2026}")]
    pub(super) metadata: Option<String>,
    /// What they are sorted by.
    #[serde(default)]
    #[param(inline)]
    pub(super) sort: Sort,
    /// Which way.
    #[serde(default)]
    #[param(inline)]
    pub(super) order: Order,
    /// Most items to answer with, 1 to 200 (default 50).
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl ListFiles {
    /// The page.
    pub(super) fn page(&self) -> PageQuery {
        PageQuery { limit: self.limit, cursor: self.cursor.clone() }
    }
}

/// The body of a change: what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeFile {
    pub(super) name: Option<String>,
    /// The workspace that it goes to, to its top unless `folder_id` says more.
    #[schema(value_type = Option<String>)]
    pub(super) workspace_id: Option<WorkspaceId>,
    /// The folder that it goes to; `null` for the workspace's top.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub(super) folder_id: Option<Option<FolderId>>,
    pub(super) tags: Option<Vec<String>>,
    #[schema(value_type = Option<Object>)]
    pub(super) metadata: Option<Map<String, Value>>,
}

impl ChangeFile {
    /// The fields that the body names.
    pub(super) fn named(&self) -> Vec<&'static str> {
        let fields = [
            ("name", self.name.is_some()),
            ("workspace_id", self.workspace_id.is_some()),
            ("folder_id", self.folder_id.is_some()),
            ("tags", self.tags.is_some()),
            ("metadata", self.metadata.is_some()),
        ];
        fields.into_iter().filter_map(|(name, is_named)| is_named.then_some(name)).collect()
    }

    /// Checks a body that stands at the pointer `at` of a request.
    pub(super) fn check(self, at: &str, checks: &mut Checks) -> FileChange {
        FileChange {
            name: self.name.and_then(|name| checks.name(&format!("{at}/name"), &name)),
            workspace: self.workspace_id,
            folder: self.folder_id,
            tags: self.tags.map(|tags| checks.tags(&format!("{at}/tags"), tags)),
            metadata: self.metadata.map(|metadata| checks.metadata(&format!("{at}/metadata"), metadata)),
        }
    }

    /// Checks a body.
    ///
    /// # Errors
    /// Invalid, with every field that is.
    pub fn parse(self) -> Result<FileChange> {
        let mut checks = Checks::default();
        let change = self.check("", &mut checks);
        checks.finish()?;
        Ok(change)
    }
}

/// A change that can be carried out: what is none stays.
#[derive(Debug, Clone, Default)]
pub struct FileChange {
    name: Option<ItemName>,
    workspace: Option<WorkspaceId>,
    folder: Option<Option<FolderId>>,
    tags: Option<Vec<String>>,
    metadata: Option<Value>,
}

impl FileChange {
    /// The workspace that it goes to, where one is named.
    pub(super) fn workspace(&self) -> Option<WorkspaceId> {
        self.workspace
    }

    /// The folder that it goes to, where one is named.
    pub(super) fn folder(&self) -> Option<FolderId> {
        self.folder.flatten()
    }

    /// Makes the file what it is to be.
    pub(super) fn apply(&self, file: &mut File) {
        if let Some(name) = &self.name {
            file.name = name.clone();
        }
        if let Some(workspace) = self.workspace.filter(|workspace| *workspace != file.workspace_id) {
            file.workspace_id = workspace;
            file.folder_id = None;
        }
        if let Some(folder) = self.folder {
            file.folder_id = folder;
        }
        if let Some(tags) = &self.tags {
            file.tags.clone_from(tags);
        }
        if let Some(metadata) = &self.metadata {
            file.metadata.clone_from(metadata);
        }
    }
}

/// The body of a copy.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyFile {
    /// The workspace that the copy goes to, to its top unless `folder_id` says more; absent for the file's own place.
    #[schema(value_type = Option<String>)]
    workspace_id: Option<WorkspaceId>,
    /// The folder that it goes to; `null` for the workspace's top.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    folder_id: Option<Option<FolderId>>,
    /// Its name; the file's own where it is absent.
    name: Option<String>,
    /// Number of the version that is copied; the current one unless said.
    pub(super) version: Option<i32>,
}

impl CopyFile {
    /// Where a copy of the file is to go.
    ///
    /// # Errors
    /// Invalid, where the name is.
    pub fn place(&self, file: &File) -> Result<Place> {
        let mut checks = Checks::default();
        let name = match &self.name {
            Some(name) => checks.name("/name", name),
            None => Some(file.name.clone()),
        };
        checks.finish()?;
        let workspace = self.workspace_id.unwrap_or(file.workspace_id);
        let own_folder = file.folder_id.filter(|_| workspace == file.workspace_id);
        Ok(Place {
            workspace,
            folder: self.folder_id.unwrap_or(own_folder),
            name: name.expect("a name that is not valid was complained about"),
        })
    }
}

/// The kind that people think in, from the media type.
pub fn file_type(mime_type: &str) -> &'static str {
    let (kind, subtype) = mime_type.split_once('/').unwrap_or((mime_type, ""));
    let has = |words: &[&str]| words.iter().any(|word| subtype.contains(word));
    match kind {
        "image" => "image",
        "audio" => "audio",
        "video" => "video",
        "font" => "font",
        "application" if has(&["spreadsheet", "ms-excel"]) => "spreadsheet",
        "application" if has(&["presentation", "ms-powerpoint"]) => "presentation",
        "text" if subtype == "csv" || subtype == "tab-separated-values" => "spreadsheet",
        "text" if has(&["html", "plain", "markdown", "rtf"]) => "document",
        "application" if has(&["pdf", "msword", "wordprocessing", "opendocument.text", "rtf", "epub", "xhtml"]) => {
            "document"
        }
        "application" if has(&["zip", "x-tar", "rar", "7z", "bzip", "xz", "zstd"]) => "archive",
        "application" if has(&["json", "xml", "yaml", "toml", "sql"]) => "data",
        "text" => "code",
        "application" if has(&["javascript", "x-sh", "x-perl", "x-httpd-php"]) => "code",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_s_kinds() {
        for (mime_type, expected) in [
            ("application/pdf", "document"),
            ("text/markdown", "document"),
            ("text/x-rust", "code"),
            ("text/csv", "spreadsheet"),
            ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "document"),
            ("application/gzip", "archive"),
            ("application/json", "data"),
            ("application/octet-stream", "other"),
            ("image/svg+xml", "image"),
        ] {
            assert_eq!(file_type(mime_type), expected, "{mime_type}");
        }
    }

    #[test]
    fn everything_missing_is_named() {
        let error = Place::parse(&UploadQuery { name: Some("..".to_owned()), ..UploadQuery::default() }).unwrap_err();
        let pointers: Vec<&str> = error.fields().iter().map(|field| field.pointer.as_str()).collect();
        assert_eq!(pointers, ["workspace_id", "name"]);
    }
}
