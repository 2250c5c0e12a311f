//! Copying a file: another one that shares its content.

use rowhouse_domain::FileId;
use rowhouse_problem::Result;
use rowhouse_web::{IdempotencyKey, IfMatch};
use serde_json::Value;

use super::destination::{Destination, Held};
use super::model::{CopyFile, File, Place, Version, file_type};
use super::room::apply_with_room;
use super::store::{self, Content};
use super::versions::{self, Stored};
use super::views::{FileView, etag};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::changes::Charge;
use crate::idempotency::Request;
use crate::state::AppState;

/// What is said of a content instead of what was, as `file_versions.user_metadata` has it.
pub(crate) struct Said(pub(crate) Option<Value>);

/// The version that is copied.
enum Chosen<'a> {
    /// Whichever has this number.
    Number(i32),
    /// The very one that somebody has looked at: with the last one its number goes to the next.
    Found(&'a Stored),
}

impl Chosen<'_> {
    fn number(&self) -> i32 {
        match self {
            Self::Number(number) => *number,
            Self::Found(stored) => stored.version,
        }
    }

    fn is_another(&self, version: &Version) -> bool {
        matches!(self, Self::Found(stored) if stored.id != version.id)
    }
}

/// Makes a new file of a version of another one.
pub(super) async fn copy(
    state: &AppState,
    caller: &Caller,
    id: FileId,
    key: &IdempotencyKey,
    body: &CopyFile,
) -> Result<Answer> {
    let route = format!("POST /v1/files/{id}/copy");
    make(state, &Request::new(caller, &route, key, body), id, None, |file| {
        let number = body.version.unwrap_or(file.current_version);
        Ok((Chosen::Number(number), Destination::New(FileId::new(), body.place(file)?)))
    })
    .await
}

/// Gives the file of a name the content of a version of another one, as a new version; makes it where there is none. What is said
/// of the content goes with it, unless something else `is_said`.
pub(super) async fn put(
    state: &AppState,
    caller: &Caller,
    source: &Stored,
    place: Place,
    is_said: Option<Said>,
) -> Result<Answer> {
    let key = IdempotencyKey(None);
    make(state, &Request::new(caller, "", &key, &()), source.file, is_said, |_| {
        Ok((Chosen::Found(source), Destination::Put(FileId::new(), place, IfMatch::default())))
    })
    .await
}

async fn make<'a>(
    state: &AppState,
    request: &Request<'_>,
    id: FileId,
    is_said: Option<Said>,
    plan: impl FnOnce(&File) -> Result<(Chosen<'a>, Destination)>,
) -> Result<Answer> {
    let account = request.caller.account();
    apply_with_room(
        state,
        request,
        async |tenant| {
            let file = store::find(tenant, id).await?;
            let (chosen, destination) = plan(&file)?;
            let version = versions::store::get(tenant, id, chosen.number()).await?;
            if chosen.is_another(&version) {
                return Err(versions::store::not_found(id, chosen.number()));
            }
            // Whatever is refused here reserves nothing.
            destination.check(tenant).await?.check(version.size.unsigned_abs())?;
            let size = version.size;
            Ok(((file, version, destination), size))
        },
        async |change, (source, version, destination), reservation| {
            let held = destination.hold(change, version.size).await?;
            let is_new = matches!(held, Held::New(..));
            let shared = versions::store::share(change, &version).await?;
            let user_metadata = is_said.map_or(shared.user_metadata, |said| said.0);
            let content = Content {
                size: version.size,
                checksum: &version.checksum,
                mime_type: &version.mime_type,
                declared_mime_type: shared.declared_mime_type.as_deref(),
                file_type: file_type(&version.mime_type),
                user_metadata: user_metadata.as_ref(),
                change_summary: None,
            };
            let mut made = held.record(change, shared.blob, &content, account).await?;
            if is_new {
                let labelled = File { tags: source.tags, metadata: source.metadata, ..made };
                made = store::update(change, &labelled).await?;
            }
            change
                .charge(&Charge {
                    file: made.id,
                    version: Some(made.current_version),
                    bytes: version.size,
                    account,
                    reservation: Some(reservation),
                })
                .await?;
            let (location, etag) = (format!("/v1/files/{}", made.id), etag(&made));
            Ok(Answer::created(location, &etag, &FileView::from(made)))
        },
    )
    .await
}
