//! What a link is and what may be asked of it. Pure.

use jiff::{SignedDuration, Timestamp};
use rowhouse_domain::{FileId, FolderId, KeyId, LinkId, Scope, WorkspaceId};
use rowhouse_problem::{Error, Result};
use rowhouse_web::PageQuery;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::files::content::WantedDisposition;
use crate::files::model::{Place, UploadQuery};
use crate::media::MediaType;
use crate::serial::Checks;

/// How long a link opens something unless said, in seconds.
const DEFAULT_SECONDS: i64 = 60 * 60;
/// The longest: a week, as with S3.
const MAX_SECONDS: i64 = 7 * 24 * 60 * 60;

/// A link.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of `links`, explained where the table is made")]
pub struct Link {
    pub id: LinkId,
    pub grant: Grant,
    pub key: KeyId,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// What a link lets its holder do.
#[derive(Debug, Clone)]
pub enum Grant {
    /// Read a file's content.
    Download {
        /// The file.
        file: FileId,
        /// A version of it; else the one that is current when the link is used.
        version: Option<i32>,
        /// Whether a browser may show it.
        inline: bool,
    },
    /// Make one file.
    Upload {
        /// Where it goes, and its name.
        place: Place,
        /// Its exact size in bytes.
        size: u64,
        /// Its media type, where it must be of one.
        media_type: Option<String>,
    },
}

impl Grant {
    /// What the key that made it must still be allowed.
    pub fn scope(&self) -> Scope {
        match self {
            Self::Download { .. } => Scope::ReadFiles,
            Self::Upload { .. } => Scope::WriteFiles,
        }
    }

    /// The HTTP method that the link is for.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Download { .. } => "GET",
            Self::Upload { .. } => "PUT",
        }
    }
}

/// The body of a link to a file.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateLink {
    /// Seconds until it opens nothing any more: 1 to 604,800 (a week), 3,600 unless said.
    expires_in: Option<i64>,
    /// Number of a version; else the link leads to the one that is current when it is used.
    version: Option<i32>,
    /// How a browser is to treat the content; `attachment` unless said.
    disposition: Option<WantedDisposition>,
}

impl CreateLink {
    /// What the link is to grant, and until when.
    ///
    /// # Errors
    /// Invalid, with every field that is.
    pub fn parse(self, file: FileId) -> Result<(Grant, Timestamp)> {
        let mut checks = Checks::default();
        let end = end(&mut checks, self.expires_in);
        checks.finish()?;
        let inline = self.disposition == Some(WantedDisposition::Inline);
        Ok((Grant::Download { file, version: self.version, inline }, end))
    }
}

/// The body of a link for an upload.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUploadLink {
    /// The workspace that the file goes to.
    #[schema(value_type = String, example = "wrk_01jd0000000000000000000000")]
    workspace_id: WorkspaceId,
    /// The folder that it goes to; absent for the workspace's top.
    #[schema(value_type = Option<String>)]
    folder_id: Option<FolderId>,
    /// Its name.
    #[schema(example = "report.pdf")]
    name: String,
    /// Its size: no other is taken.
    size: i64,
    /// Its media type: where said, no other is taken.
    #[schema(example = "application/pdf")]
    media_type: Option<String>,
    /// Seconds until it opens nothing any more: 1 to 604,800 (a week), 3,600 unless said.
    expires_in: Option<i64>,
}

impl CreateUploadLink {
    /// What the link is to grant, and until when.
    ///
    /// # Errors
    /// Invalid, with every field that is.
    pub fn parse(self) -> Result<(Grant, Timestamp)> {
        let mut checks = Checks::default();
        checks.name("/name", &self.name);
        checks.bytes("/size", self.size);
        let end = end(&mut checks, self.expires_in);
        let media_type = self.media_type.map(|text| match MediaType::parse(&text) {
            Some(kind) => kind.as_str().to_owned(),
            None => {
                checks.complain("/media_type", "is no media type");
                text
            }
        });
        checks.finish()?;
        let query =
            UploadQuery { workspace_id: Some(self.workspace_id), folder_id: self.folder_id, name: Some(self.name) };
        let size = u64::try_from(self.size).map_err(Error::internal)?;
        Ok((Grant::Upload { place: Place::parse(&query)?, size, media_type }, end))
    }
}

/// To the second, as the address has it.
fn end(checks: &mut Checks, seconds: Option<i64>) -> Timestamp {
    let seconds = seconds.unwrap_or(DEFAULT_SECONDS);
    if !(1..=MAX_SECONDS).contains(&seconds) {
        checks.complain("/expires_in", format!("must be between 1 and {MAX_SECONDS}"));
        return Timestamp::UNIX_EPOCH;
    }
    let end = Timestamp::now().saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
    Timestamp::from_second(end.as_second()).unwrap_or(end)
}

/// Which links to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListLinks {
    /// Only those to this file.
    #[param(value_type = Option<String>)]
    pub(super) file_id: Option<FileId>,
    /// Only those that this key made.
    #[param(value_type = Option<String>)]
    pub(super) key_id: Option<KeyId>,
    /// Most items to answer with, 1 to 200 (default 50).
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl ListLinks {
    /// The page.
    pub(super) fn page(&self) -> PageQuery {
        PageQuery { limit: self.limit, cursor: self.cursor.clone() }
    }
}

/// Whose links to revoke.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RevokeLinks {
    /// The key that made them.
    #[param(value_type = String)]
    pub(super) key_id: KeyId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_with_an_upload_link_is_named() {
        let body = serde_json::json!({"workspace_id": WorkspaceId::new(), "name": "a/b", "size": -1,
            "media_type": "no type", "expires_in": 604_801});
        let error = serde_json::from_value::<CreateUploadLink>(body).unwrap().parse().unwrap_err();
        let pointers: Vec<&str> = error.fields().iter().map(|field| field.pointer.as_str()).collect();
        assert_eq!(pointers, ["/name", "/size", "/expires_in", "/media_type"]);
    }
}
