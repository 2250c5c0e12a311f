//! How each item of a batch ended, as the API shows it.

use rowhouse_domain::FileId;
use rowhouse_problem::{Error, FieldError};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::files::model::File;
use crate::files::views::{FileView, etag};

/// How a batch ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchView {
    /// So many items were done.
    pub(super) succeeded: usize,
    /// So many could not be done, and nothing came of them.
    pub(super) failed: usize,
    /// Each item, in the order of the request.
    #[schema(inline)]
    pub(super) items: Vec<BatchItemView>,
}

/// How an item of a batch ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchItemView {
    /// Its place in the request, from 0.
    index: usize,
    /// The file that it named.
    #[schema(value_type = String)]
    id: FileId,
    /// The status that it would have been answered with alone.
    status: u16,
    /// The file as it is now, or the copy; none of a deleted one.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FileView>,
    /// The file's entity tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// Why it could not be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    error: Option<BatchErrorView>,
}

/// Why an item of a batch could not be done.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchErrorView {
    /// The stable code, as in a problem document.
    code: &'static str,
    title: &'static str,
    /// What happened and what to do about it.
    detail: String,
    /// The fields that are not valid, by their places in the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    errors: Vec<FieldError>,
    /// Further members that some codes have.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    extensions: Map<String, Value>,
}

impl BatchItemView {
    /// It was done; there is no file to show where it was deleted.
    pub(super) fn done(index: usize, id: FileId, status: u16, file: Option<File>) -> Self {
        let etag = file.as_ref().map(|file| etag(file).to_string());
        Self { index, id, status, file: file.map(FileView::from), etag, error: None }
    }

    /// It was not done.
    pub(super) fn failed(index: usize, id: FileId, error: &Error) -> Self {
        let code = error.code();
        let view = BatchErrorView {
            code: code.as_str(),
            title: code.title(),
            detail: error.detail().to_owned(),
            errors: error.fields().to_vec(),
            extensions: error.extensions().clone(),
        };
        Self { index, id, status: code.status(), file: None, etag: None, error: Some(view) }
    }
}
