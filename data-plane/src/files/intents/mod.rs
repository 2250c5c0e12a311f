//! Upload intents: written before an object is, so that whatever a crash leaves behind is found.
//!
//! `pending`: the upload is under way. `abandoned`: the object is not wanted, and only it and the row are left to remove.

pub(crate) mod store;

use rowhouse_blobs::{BlobKey, BlobWriter};
use rowhouse_database::Sql;
use rowhouse_domain::{ReservationId, TenantId, UploadId};
use rowhouse_problem::Result;
use uuid::Uuid;

use super::pulse::ran_out;
use crate::authentication::Caller;
use crate::contents::OpenKey;
use crate::state::AppState;

/// An upload that is about to begin.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    pub(crate) id: Uuid,
    pub(crate) object: BlobKey,
    pub(super) reservation: ReservationId,
    /// What the object is sealed under.
    pub(super) content_key: Option<Uuid>,
    /// The upload in parts that ends with it.
    pub(super) ends: Option<UploadId>,
}

impl Intent {
    /// One that nobody knows of yet.
    pub(super) fn new(tenant: TenantId) -> Self {
        Self {
            id: Uuid::now_v7(),
            object: BlobKey::random(tenant.as_uuid()),
            reservation: ReservationId::new(),
            content_key: None,
            ends: None,
        }
    }
}

/// Has it known that a copy of a content's object may come to exist, which reserves nothing. It has a day.
pub(crate) async fn begin_copy(transaction: &impl Sql, tenant: TenantId, bucket: &str, bytes: i64) -> Result<Intent> {
    let intent = Intent::new(tenant);
    store::insert_copy(transaction, &intent, bucket, bytes).await?;
    Ok(intent)
}

/// Begins an intent's object. What the store calls its upload is written down before there is a part of it: parts of a process
/// that is gone are in no listing of objects.
pub(super) fn writer(state: &AppState, caller: &Caller, intent: &Intent, key: Option<&OpenKey>) -> BlobWriter {
    let (writer, id) = (state.contents.writer(intent.object, key), intent.id);
    let (state, caller) = (state.clone(), caller.clone());
    writer.announcing(move |name| {
        Box::pin(async move {
            let tenant = caller.connection(&state).await?;
            if store::name_upload(&tenant, id, &name).await? { Ok(()) } else { Err(ran_out()) }
        })
    })
}

/// An upload that came to nothing.
pub(super) struct Expired {
    pub(super) id: Uuid,
    pub(super) object_key: String,
    pub(super) object: BlobKey,
    /// What the store calls its upload, where that came in parts.
    pub(super) store_upload: Option<String>,
    pub(super) reservation: Option<ReservationId>,
}
