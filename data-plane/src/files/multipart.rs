//! `multipart/form-data` (RFC 7578): a few short fields, then one file, read as they come.

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::error::PayloadError;
use futures::StreamExt;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::parse_id;

use super::model::UploadQuery;
use super::pace::broken;

/// Most fields before the file.
const MAX_FIELDS: usize = 10;
/// What may come before the file is found: 64 KiB of fields and their headers, and what of the file is read ahead with them.
pub(super) const MAX_PREAMBLE: u64 = 256 * 1024;
/// Longest field that is not the file.
const MAX_FIELD_BYTES: usize = 2048;

/// The part that holds the file, with what was learnt before it.
pub(super) struct FilePart {
    pub(super) field: Field,
    pub(super) query: UploadQuery,
    pub(super) media_type: Option<String>,
}

/// Reads up to the file. Fields are laid over what the address says; what comes after the file is too late.
pub(super) async fn find_file(form: &mut Multipart, mut query: UploadQuery) -> Result<FilePart> {
    let mut fields = 0;
    while let Some(field) = form.next().await {
        let field = field.map_err(|error| malformed(&error))?;
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.content_disposition().and_then(|disposition| disposition.get_filename());
        if let Some(file_name) = file_name {
            query.name = query.name.or_else(|| Some(file_name.to_owned()));
            let media_type = field.content_type().map(|kind| kind.essence_str().to_owned());
            return Ok(FilePart { field, query, media_type });
        }
        fields += 1;
        if fields > MAX_FIELDS {
            return Err(Error::invalid_field(
                &shown(&name),
                format!("is too much: {MAX_FIELDS} fields may come before the file"),
            ));
        }
        let text = short_text(field, &shown(&name)).await?;
        match name.as_str() {
            "workspace_id" => query.workspace_id = Some(parse_id(&text)?),
            "folder_id" => query.folder_id = Some(parse_id(&text)?),
            "name" => query.name = Some(text),
            other => {
                return Err(Error::invalid_field(
                    &shown(other),
                    "is no field of an upload: there are `workspace_id`, `folder_id`, `name` and one file",
                ));
            }
        }
    }
    Err(Error::invalid_field("file", "is missing: the form has no part with a `filename`"))
}

/// Refuses anything after the file.
pub(super) async fn expect_end(form: &mut Multipart) -> Result<()> {
    match form.next().await {
        None => Ok(()),
        Some(Err(error)) => Err(malformed(&error)),
        Some(Ok(field)) => {
            let name = shown(field.name().unwrap_or_default());
            Err(Error::invalid_field(&name, "must come before the file, and there may be only one file"))
        }
    }
}

/// A name of the sender's, cut to what a message bears.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

async fn short_text(mut field: Field, name: &str) -> Result<String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.next().await {
        bytes.extend_from_slice(&chunk.map_err(|error| malformed(&error))?);
        if bytes.len() > MAX_FIELD_BYTES {
            return Err(Error::invalid_field(name, format!("must be at most {MAX_FIELD_BYTES} bytes")));
        }
    }
    String::from_utf8(bytes).map_err(|_| Error::invalid_field(name, "must be UTF-8"))
}

/// A form that is not as it should be, or that ended early.
pub(super) fn malformed(error: &MultipartError) -> Error {
    if let MultipartError::Payload(PayloadError::Overflow) = error {
        return Error::new(Code::TooLarge, "Too much comes before the form's file.").with("limit", MAX_PREAMBLE);
    }
    if let MultipartError::Payload(error @ PayloadError::Io(_)) = error {
        return broken(error);
    }
    Error::new(Code::MalformedRequest, "The form cannot be read, or it ended early.").caused_by(error.to_string())
}
