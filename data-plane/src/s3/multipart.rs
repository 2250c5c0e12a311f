//! Multipart uploads: parts with numbers, each an object until the last call puts them together.

use futures::{Stream, StreamExt};
use rowhouse_domain::{UploadId, WorkspaceId};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::IfMatch;
use s3s::dto::{Checksum, CompletedPart, ETag, ETagCondition};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use serde_json::Value;

use super::failure::failure;
use super::integrity::Integrity;
use super::key::{ObjectKey, before_nul};
use super::objects::{self, Made, etag, names};
use crate::authentication::Caller;
use crate::files::doors::{self, Put};
use crate::files::model::Place;
use crate::folders;
use crate::state::AppState;
use crate::uploads::parts::Slot;
use crate::uploads::{self, NewSession, Part, Protocol, Room, Session, Stored, abandon, assemble, begin, store};

/// Part numbers, as with S3.
const NUMBERS: std::ops::RangeInclusive<i32> = 1..=10_000;
/// Smallest part but for the last one, as with S3.
const SMALLEST: i64 = 5 * 1024 * 1024;

/// An error about an upload, in S3's words.
fn of_upload(error: Error) -> S3Error {
    if matches!(error.code(), Code::NotFound | Code::OffsetMismatch | Code::MalformedId) {
        return S3Error::new(S3ErrorCode::NoSuchUpload);
    }
    if error.code() == Code::RequestInFlight {
        return s3_error!(OperationAborted, "the upload has ended meanwhile");
    }
    failure(error)
}

/// Begins an upload, and gives its id.
pub(super) async fn create(
    state: &AppState,
    caller: &Caller,
    workspace: WorkspaceId,
    key: &str,
    media_type: Option<String>,
    metadata: Option<Value>,
) -> S3Result<UploadId> {
    if ObjectKey::parse(key)?.name.is_none() {
        return Err(s3_error!(InvalidArgument, "a key that ends with a slash is a folder and has no content"));
    }
    let new = NewSession {
        id: UploadId::new(),
        protocol: Protocol::S3,
        workspace: Some(workspace),
        folder: None,
        name: Some(key.to_owned()),
        media_type,
        length: None,
        metadata: metadata.map(|metadata| metadata.to_string()).unwrap_or_default(),
        pieces: Vec::new(),
    };
    Ok(begin(state, caller, new).await.map_err(failure)?.new.id)
}

/// The upload of this id, if it is of this bucket and key.
pub(super) async fn find(
    state: &AppState,
    caller: &Caller,
    (bucket, key): (&str, &str),
    upload: &str,
) -> S3Result<Session> {
    let tenant = caller.connection(state).await.map_err(failure)?;
    let workspace = objects::workspace(&tenant, bucket).await?;
    let id: UploadId = upload.parse().map_err(|_| S3Error::new(S3ErrorCode::NoSuchUpload))?;
    let session = store::find(&tenant, id, Protocol::S3).await.map_err(of_upload)?;
    if session.new.workspace != Some(workspace) || session.new.name.as_deref() != Some(key) {
        return Err(S3Error::new(S3ErrorCode::NoSuchUpload));
    }
    Ok(session)
}

/// Takes a part in.
pub(super) async fn upload_part(
    state: &AppState,
    caller: &Caller,
    session: &Session,
    (number, length): (i32, Option<u64>),
    mut integrity: Integrity,
    body: impl Stream<Item = Result<bytes::Bytes>> + Send,
) -> S3Result<(ETag, Checksum)> {
    if !NUMBERS.contains(&number) {
        return Err(s3_error!(InvalidArgument, "a part's number is from 1 to 10000"));
    }
    if session.made.is_some() {
        return Err(S3Error::new(S3ErrorCode::NoSuchUpload));
    }
    let length = length.ok_or_else(|| s3_error!(MissingContentLength))?;
    doors::check_size(state, length).map_err(failure)?;
    let _place = doors::enter(state, caller).await.map_err(failure)?;
    let room = Room::take(state, caller, session, number, length).await.map_err(failure)?;
    let mut part = Part::begin(state, caller).await.map_err(failure)?;
    let mut body = std::pin::pin!(body);
    let received = async {
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(failure)?;
            integrity.update(&piece);
            if part.size() + piece.len() as u64 > length {
                return Err(s3_error!(IncompleteBody));
            }
            part.write(piece).await.map_err(failure)?;
        }
        if part.size() != length {
            return Err(s3_error!(IncompleteBody));
        }
        integrity.check()
    };
    match received.await {
        Ok(checksum) => {
            let stored = part.finish(session.new.id, Slot::Numbered(number, room)).await.map_err(of_upload)?;
            Ok((etag(&stored.sha256), checksum))
        }
        Err(error) => {
            room.give_back().await;
            part.discard().await.map_err(failure)?;
            Err(error)
        }
    }
}

/// The parts that have come.
pub(super) async fn parts(state: &AppState, caller: &Caller, session: &Session) -> S3Result<Vec<Stored>> {
    let tenant = caller.connection(state).await.map_err(failure)?;
    store::parts(&tenant, session.new.id).await.map_err(failure)
}

/// Puts the named parts together. Asked again, it says again what was made.
pub(super) async fn complete(
    state: &AppState,
    caller: &Caller,
    session: &Session,
    named: Vec<CompletedPart>,
    (if_match, if_none_match): (Option<ETagCondition>, Option<ETagCondition>),
) -> S3Result<Made> {
    if let Some(made) = &session.made {
        return Ok(told(made));
    }
    let wanted = match choose(&parts(state, caller, session).await?, &named) {
        Ok(wanted) => wanted,
        // Where the file came to be between the two looks, its parts are gone.
        Err(error) => {
            let made = uploads::made(state, caller, session).await.map_err(failure)?;
            return made.as_ref().map(told).ok_or(error);
        }
    };
    let (Some(workspace), Some(text)) = (session.new.workspace, &session.new.name) else {
        return Err(S3Error::new(S3ErrorCode::NoSuchUpload));
    };
    let key = ObjectKey::parse(text)?;
    let name = key.name.clone().ok_or_else(|| S3Error::new(S3ErrorCode::NoSuchUpload))?;
    let condition = match if_match {
        Some(ETagCondition::ETag(tag)) => IfMatch::one(tag.value()),
        Some(ETagCondition::Any) | None => IfMatch::default(),
    };
    let folder = folders::doors::ensure(state, caller, workspace, &key.folders).await.map_err(failure)?;
    let put = Put {
        place: Place { workspace, folder, name },
        must_be_new: if_none_match.is_some(),
        condition,
        length: None,
        media_type: session.new.media_type.clone(),
        user_metadata: said(session).map_err(failure)?,
        md5: None,
        ends: None,
    };
    let made = assemble(state, caller, session, &wanted, put).await;
    let made =
        made.map_err(|error| if error.code() == Code::RequestInFlight { of_upload(error) } else { failure(error) })?;
    Ok(told(&made))
}

fn told((version, sha256): &(i32, Vec<u8>)) -> Made {
    Made { etag: etag(sha256), version: *version, checksum: Checksum::default() }
}

/// What was said of the content when the upload was begun.
fn said(session: &Session) -> Result<Option<Value>> {
    let text = Some(&session.new.metadata).filter(|text| !text.is_empty());
    text.map(|text| serde_json::from_str(text)).transpose().map_err(Error::internal)
}

/// The parts that are named, in their order, if they are as they were named.
fn choose(parts: &[Stored], named: &[CompletedPart]) -> S3Result<Vec<Stored>> {
    if named.is_empty() {
        return Err(s3_error!(MalformedXML, "name at least one part"));
    }
    let mut wanted: Vec<Stored> = Vec::with_capacity(named.len());
    for one in named {
        let number = one.part_number.ok_or_else(|| S3Error::new(S3ErrorCode::InvalidPart))?;
        if wanted.last().is_some_and(|last| last.number >= number) {
            return Err(S3Error::new(S3ErrorCode::InvalidPartOrder));
        }
        let part = parts.iter().find(|part| part.number == number);
        let part = part.ok_or_else(|| S3Error::new(S3ErrorCode::InvalidPart))?;
        let is_as_named =
            one.e_tag.as_ref().is_none_or(|tag| names(&ETagCondition::ETag(tag.clone()), &etag(&part.sha256)));
        if !is_as_named {
            return Err(S3Error::new(S3ErrorCode::InvalidPart));
        }
        wanted.push(part.clone());
    }
    let (_, others) = wanted.split_last().expect("there is at least one");
    if others.iter().any(|part| part.size < SMALLEST) {
        return Err(S3Error::new(S3ErrorCode::EntityTooSmall));
    }
    Ok(wanted)
}

/// Gives an upload up.
pub(super) async fn abort(state: &AppState, caller: &Caller, session: &Session) -> S3Result<()> {
    abandon(state, caller, session.new.id, Protocol::S3).await.map_err(of_upload)
}

/// The uploads of a bucket that are under way: at most so many, and whether there are more.
pub(super) async fn list(
    state: &AppState,
    caller: &Caller,
    (bucket, prefix): (&str, &str),
    behind: &store::Behind<'_>,
    most: usize,
) -> S3Result<(Vec<Session>, bool)> {
    let tenant = caller.connection(state).await.map_err(failure)?;
    let workspace = objects::workspace(&tenant, bucket).await?;
    if prefix.contains('\0') {
        return Ok((Vec::new(), false));
    }
    let key = before_nul(behind.key);
    let behind = &store::Behind { key, upload: behind.upload.filter(|_| key == behind.key) };
    let limit = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
    let mut found = store::list(&tenant, workspace, prefix, behind, limit).await.map_err(failure)?;
    let is_truncated = found.len() > most;
    found.truncate(most);
    Ok((found, is_truncated))
}

#[cfg(test)]
mod tests {
    use rowhouse_blobs::BlobKey;
    use uuid::Uuid;

    use super::*;
    use crate::contents::Object;

    fn stored(number: i32, size: i64) -> Stored {
        let object = Object { key: BlobKey::new(Uuid::nil(), Uuid::nil()), size: 0, sealed_under: None };
        let sha256 = vec![u8::try_from(number).unwrap(); 32];
        Stored { number, object, size, sha256, created_at: jiff::Timestamp::UNIX_EPOCH }
    }

    fn named(number: i32) -> CompletedPart {
        CompletedPart {
            part_number: Some(number),
            e_tag: Some(etag(&stored(number, 0).sha256)),
            ..CompletedPart::default()
        }
    }

    #[test]
    fn parts_are_those_that_were_named() {
        let parts = [stored(1, SMALLEST), stored(3, SMALLEST), stored(4, 1)];
        let check = |named: &[CompletedPart]| {
            choose(&parts, named).map(|chosen| chosen.iter().map(|part| part.number).collect::<Vec<_>>())
        };
        assert_eq!(check(&[named(1), named(3), named(4)]).unwrap(), [1, 3, 4]);
        assert_eq!(check(&[named(1), named(4)]).unwrap(), [1, 4]);
        let code = |named: &[CompletedPart]| check(named).unwrap_err().code().clone();
        assert_eq!(code(&[named(3), named(1)]), S3ErrorCode::InvalidPartOrder);
        assert_eq!(code(&[named(1), named(1)]), S3ErrorCode::InvalidPartOrder);
        assert_eq!(code(&[named(2)]), S3ErrorCode::InvalidPart);
        assert_eq!(code(&[CompletedPart { part_number: Some(3), ..named(1) }]), S3ErrorCode::InvalidPart);
        assert_eq!(code(&[]), S3ErrorCode::MalformedXML);
        let small = [stored(1, 1), stored(2, 1)];
        assert_eq!(choose(&small, &[named(1), named(2)]).unwrap_err().code(), &S3ErrorCode::EntityTooSmall);
    }
}
