//! Copying a file: another one that shares its content.

use rowhouse_domain::FileId;
use rowhouse_problem::Result;
use rowhouse_web::IdempotencyKey;

use super::destination::Destination;
use super::model::{CopyFile, File, file_type};
use super::room::apply_with_room;
use super::store::{self, Content};
use super::versions;
use super::views::{FileView, etag};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::changes::Charge;
use crate::idempotency::Request;
use crate::state::AppState;

/// Makes a new file of a version of another one.
pub(super) async fn copy(
    state: &AppState,
    caller: &Caller,
    id: FileId,
    key: &IdempotencyKey,
    body: &CopyFile,
) -> Result<Answer> {
    let route = format!("POST /v1/files/{id}/copy");
    apply_with_room(
        state,
        &Request::new(caller, &route, key, body),
        async |tenant| {
            let file = store::find(tenant, id).await?;
            let number = body.version.unwrap_or(file.current_version);
            let version = versions::store::get(tenant, id, number).await?;
            let destination = Destination::New(FileId::new(), body.place(&file)?);
            // Whatever is refused here reserves nothing.
            destination.check(tenant).await?.check(version.size.unsigned_abs())?;
            let size = version.size;
            Ok(((file, version, destination), size))
        },
        async |change, (source, version, destination), reservation| {
            let held = destination.hold(change, version.size).await?;
            let shared = versions::store::share(change, id, version.version_number).await?;
            let content = Content {
                size: version.size,
                checksum: &version.checksum,
                mime_type: &version.mime_type,
                declared_mime_type: shared.declared_mime_type.as_deref(),
                file_type: file_type(&version.mime_type),
            };
            let made = held.record(change, shared.blob, &content, caller.account()).await?;
            let labelled = File { tags: source.tags, metadata: source.metadata, ..made };
            let made = store::update(change, &labelled).await?;
            change
                .charge(&Charge {
                    file: made.id,
                    version: Some(made.current_version),
                    bytes: version.size,
                    account: caller.account(),
                    reservation: Some(reservation),
                })
                .await?;
            let (location, etag) = (format!("/v1/files/{}", made.id), etag(&made));
            Ok(Answer::created(location, &etag, &FileView::from(made)))
        },
    )
    .await
}
