//! Objects in and out: files found by their keys, handed to the functions of the native door.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use rowhouse_database::{Sql, TenantConnection};
use rowhouse_domain::{FileId, FolderId, WorkspaceId};
use rowhouse_problem::{Error, Result};
use rowhouse_web::IfMatch;
use s3s::S3Result;
use s3s::dto::{ChecksumMode, ChecksumType, ETag, ETagCondition};
use serde_json::Value;

use super::bucket::{self, Named};
use super::failure::{failure, no_such_bucket, no_such_key};
use super::integrity::Integrity;
use super::key::ObjectKey;
use super::store;
use crate::authentication::Caller;
use crate::files::doors::{self, Put, Said, Stored};
use crate::files::model::Place;
use crate::folders;
use crate::state::AppState;

/// Finds the workspace that a bucket is.
pub(super) async fn workspace(tenant: &impl Sql, name: &str) -> S3Result<WorkspaceId> {
    let found = match bucket::read(name) {
        Named::Id(id) => store::is_bucket(tenant, id).await.map(|is_there| is_there.then_some(id)),
        Named::Identifier(identifier) => store::find_bucket(tenant, &identifier).await,
    };
    found.map_err(failure)?.ok_or_else(no_such_bucket)
}

/// The folder that a key's folders lead to; none where one is missing.
async fn folder(tenant: &impl Sql, workspace: WorkspaceId, key: &ObjectKey) -> Result<Option<Option<FolderId>>> {
    let mut folder = None;
    for name in &key.folders {
        match folders::store::find_by_name(tenant, workspace, folder, name).await? {
            Some((id, _)) => folder = Some(id),
            None => return Ok(None),
        }
    }
    Ok(Some(folder))
}

/// The file of a key, where there is one.
pub(super) async fn find(tenant: &impl Sql, workspace: WorkspaceId, key: &ObjectKey) -> Result<Option<FileId>> {
    let Some(name) = &key.name else { return Ok(None) };
    let Some(folder) = folder(tenant, workspace, key).await? else { return Ok(None) };
    store::find_file(tenant, workspace, folder, name).await
}

/// The content of a key, of its current version or of another.
pub(super) async fn stored(
    tenant: &TenantConnection,
    bucket: &str,
    key: &str,
    version: Option<&str>,
) -> S3Result<Stored> {
    let workspace = workspace(tenant, bucket).await?;
    let key = ObjectKey::parse(key)?;
    let version = version.map(read_version).transpose()?;
    let file = find(tenant, workspace, &key).await.map_err(failure)?.ok_or_else(no_such_key)?;
    doors::find(tenant, file, version).await.map_err(failure)?.ok_or_else(no_such_key)
}

/// A version's id is its number.
pub(super) fn read_version(text: &str) -> S3Result<i32> {
    let invalid = || s3s::S3Error::with_message(s3s::S3ErrorCode::NoSuchVersion, "A version's id is its number.");
    text.parse().ok().filter(|number| *number > 0).ok_or_else(invalid)
}

/// The tag of a content: its SHA-256, as at the native door.
pub(super) fn etag(sha256: &[u8]) -> ETag {
    ETag::Strong(hex::encode(sha256))
}

/// The checksum of a content, for a client that asks for it: the SHA-256, which is kept of each, whichever one it came with.
pub(super) fn checksum(mode: Option<&ChecksumMode>, sha256: &[u8]) -> (Option<String>, Option<ChecksumType>) {
    match mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED) {
        true => (Some(STANDARD.encode(sha256)), Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT))),
        false => (None, None),
    }
}

/// Whether a condition names this tag.
pub(super) fn names(condition: &ETagCondition, tag: &ETag) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(one) => one.value() == tag.value(),
    }
}

/// What is to become of a content that comes in.
pub(super) struct Incoming<'a> {
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) length: Option<u64>,
    pub(super) media_type: Option<String>,
    pub(super) metadata: Option<Value>,
    pub(super) md5: Option<String>,
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
}

/// What has become of it.
pub(super) struct Made {
    pub(super) etag: ETag,
    pub(super) version: i32,
    pub(super) checksum: s3s::dto::Checksum,
}

/// Takes a content in, making the folders that its key names.
pub(super) async fn put(
    state: &AppState,
    caller: &Caller,
    incoming: Incoming<'_>,
    mut integrity: Integrity,
    body: impl Stream<Item = Result<Bytes>> + Send,
) -> S3Result<Made> {
    let key = ObjectKey::parse(incoming.key)?;
    let Some(name) = key.name.clone() else {
        return Err(s3s::s3_error!(InvalidArgument, "a key that ends with a slash is a folder and has no content"));
    };
    let (workspace, seen) = {
        let tenant = caller.connection(state).await.map_err(failure)?;
        let workspace = workspace(&tenant, incoming.bucket).await?;
        let seen = match find(&tenant, workspace, &key).await.map_err(failure)? {
            Some(file) => doors::find(&tenant, file, None).await.map_err(failure)?,
            None => None,
        };
        (workspace, seen)
    };
    let tag = seen.as_ref().map(|stored| etag(&stored.sha256));
    let is_refused = match (&incoming.if_match, &incoming.if_none_match) {
        (Some(condition), _) => tag.as_ref().is_none_or(|tag| !names(condition, tag)),
        (None, Some(condition)) => tag.as_ref().is_some_and(|tag| names(condition, tag)),
        (None, None) => false,
    };
    if is_refused {
        return Err(s3s::s3_error!(PreconditionFailed));
    }
    // Compared once more, under locks, when it is recorded.
    let condition = match (&incoming.if_match, &incoming.if_none_match) {
        (Some(ETagCondition::ETag(tag)), _) => Some(IfMatch::one(tag.value())),
        _ => None,
    };
    let folder = folders::doors::ensure(state, caller, workspace, &key.folders).await.map_err(failure)?;
    let put = Put {
        place: Place { workspace, folder, name },
        must_be_new: incoming.if_none_match.is_some(),
        condition: condition.unwrap_or_default(),
        length: incoming.length,
        media_type: incoming.media_type,
        user_metadata: incoming.metadata,
        md5: incoming.md5,
        ends: None,
    };
    let mut upload = doors::begin(state, caller, put).await.map_err(failure)?;
    let counted = body.map(|piece| piece.inspect(|piece| integrity.update(piece)));
    upload.receive(counted).await.map_err(failure)?;
    let checksum = match integrity.check() {
        Ok(checksum) => checksum,
        Err(error) => {
            upload.discard().await;
            return Err(error);
        }
    };
    let answer = upload.finish().await.map_err(failure)?;
    let made: doors::MadeFile = serde_json::from_slice(&answer.body).map_err(Error::internal).map_err(failure)?;
    Ok(Made { etag: ETag::Strong(made.sha256), version: made.version, checksum })
}

/// Gives a key the content of what another led to, making the folders that it names. No byte of it moves. Its metadata goes with
/// it, unless something else `is_said`.
pub(super) async fn copy(
    state: &AppState,
    caller: &Caller,
    source: &Stored,
    (bucket, key): (&str, &str),
    is_said: Option<Said>,
) -> S3Result<(ETag, i32)> {
    let key = ObjectKey::parse(key)?;
    let Some(name) = key.name.clone() else {
        return Err(s3s::s3_error!(InvalidArgument, "a key that ends with a slash is a folder and has no content"));
    };
    let workspace = workspace(&caller.connection(state).await.map_err(failure)?, bucket).await?;
    let folder = folders::doors::ensure(state, caller, workspace, &key.folders).await.map_err(failure)?;
    let place = Place { workspace, folder, name };
    let made = doors::copy(state, caller, source, place, is_said).await.map_err(failure)?;
    Ok((ETag::Strong(made.sha256), made.version))
}

/// Puts the file of a key into the trash, or deletes one of its versions for good; what is not there is fine.
pub(super) async fn delete(
    state: &AppState,
    caller: &Caller,
    workspace: WorkspaceId,
    key: &str,
    version: Option<&str>,
) -> S3Result<()> {
    let key = ObjectKey::parse(key)?;
    let version = version.filter(|version| *version != "null").map(read_version).transpose()?;
    let file = {
        let tenant = caller.connection(state).await.map_err(failure)?;
        find(&tenant, workspace, &key).await.map_err(failure)?
    };
    let Some(file) = file else { return Ok(()) };
    let deleted = match version {
        Some(version) => doors::delete_version(state, caller, file, version).await,
        None => doors::delete(state, caller, file).await,
    };
    match deleted {
        Ok(()) => Ok(()),
        Err(error) if error.code() == rowhouse_problem::Code::NotFound => Ok(()),
        Err(error) => Err(failure(error)),
    }
}
