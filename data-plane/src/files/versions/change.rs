//! An old version made the current one again, and versions that are not wanted any more.

use rowhouse_domain::FileId;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{ETag, IdempotencyKey, IfMatch};

use super::{give_back, store};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::changes::{Change, Charge, Verb, apply};
use crate::files::destination::Destination;
use crate::files::model::{Version, file_type};
use crate::files::purge::purge;
use crate::files::room::apply_with_room;
use crate::files::store::{Content, delete as mark_deleted, find, lock, set_content};
use crate::files::views::FileView;
use crate::idempotency::Request;
use crate::state::AppState;
use crate::{index, workspaces};

/// Makes an old version the current one again, as a new one with its content.
pub(super) async fn restore(
    state: &AppState,
    caller: &Caller,
    (file, number): (FileId, i32),
    summary: Option<String>,
    condition: &IfMatch,
    key: &IdempotencyKey,
) -> Result<Answer> {
    let route = format!("POST /v1/files/{file}/versions/{number}/restore");
    apply_with_room(
        state,
        &Request::new(caller, &route, key, &summary),
        async |tenant| {
            let file = find(tenant, file).await?;
            if file.current_version == number {
                return Err(Error::new(Code::InvalidTransition, "It is the current version already."));
            }
            let version = store::get(tenant, file.id, number).await?;
            let size = version.size;
            Ok(((file, version), size))
        },
        async |change, (seen, version), reservation| {
            let destination = Destination::Version(Box::new(seen), condition.clone());
            let held = destination.hold(change, version.size).await?;
            let source = store::share(change, &version).await?;
            let content = Content {
                size: version.size,
                checksum: &version.checksum,
                mime_type: &version.mime_type,
                declared_mime_type: source.declared_mime_type.as_deref(),
                file_type: file_type(&version.mime_type),
                user_metadata: source.user_metadata.as_ref(),
                change_summary: summary.as_deref(),
            };
            let after = held.record(change, source.blob, &content, caller.account()).await?;
            change
                .charge(&Charge {
                    file,
                    version: Some(after.current_version),
                    bytes: version.size,
                    account: caller.account(),
                    reservation: Some(reservation),
                })
                .await?;
            let etag = ETag::of_content(&after.checksum);
            Ok(Answer::ok(&etag, &FileView::from(after)))
        },
    )
    .await
}

/// Deletes a version for good, also the current one: then the one before it is current again, or, where there is none, the file is
/// purged.
pub(in crate::files) async fn delete_any(state: &AppState, caller: &Caller, file: FileId, number: i32) -> Result<()> {
    apply(state, caller, async |change| {
        let workspace = find(change, file).await?.workspace_id;
        workspaces::store::lock(change, workspace).await?;
        // In everybody's order, for the file may go.
        index::store::lock_searches(change, &[file]).await?;
        let file = lock(change, file).await?;
        if file.workspace_id != workspace {
            return Err(Error::unavailable("the file was moved to another workspace meanwhile"));
        }
        if file.current_version == number {
            match store::list(change, file.id, number, 1).await?.first() {
                Some(before) => go_back(change, before).await?,
                None => {
                    mark_deleted(change, file.id).await?;
                    return purge(change, &[file.id]).await.map(|_| ());
                }
            }
        }
        let removed = store::delete(change, file.id, &[number]).await?;
        if removed.is_empty() {
            return Err(store::not_found(file.id, number));
        }
        give_back(change, &[(workspace, removed)]).await
    })
    .await
}

async fn go_back(change: &Change<'_>, before: &Version) -> Result<()> {
    let source = store::share(change, before).await?;
    let content = Content {
        size: before.size,
        checksum: &before.checksum,
        mime_type: &before.mime_type,
        declared_mime_type: source.declared_mime_type.as_deref(),
        file_type: file_type(&before.mime_type),
        user_metadata: source.user_metadata.as_ref(),
        change_summary: None,
    };
    set_content(change, before.file_id, before.version_number, &content).await?;
    // The next version has the number of the one that goes: search would take the old text for its own.
    index::store::forget_content(change, before.file_id).await?;
    change.record_content(Verb::Revised, before.file_id, content.mime_type).await
}

/// Deletes a version for good, and gives back what it used.
pub(super) async fn delete(state: &AppState, caller: &Caller, file: FileId, number: i32) -> Result<()> {
    apply(state, caller, async |change| {
        let workspace = find(change, file).await?.workspace_id;
        workspaces::store::lock(change, workspace).await?;
        let file = lock(change, file).await?;
        if file.workspace_id != workspace {
            return Err(Error::unavailable("the file was moved to another workspace meanwhile"));
        }
        if file.current_version == number {
            let detail = "It is the current version. Delete the file, or put another content there first.";
            return Err(Error::new(Code::InvalidTransition, detail));
        }
        let removed = store::delete(change, file.id, &[number]).await?;
        if removed.is_empty() {
            return Err(store::not_found(file.id, number));
        }
        give_back(change, &[(workspace, removed)]).await
    })
    .await
}
