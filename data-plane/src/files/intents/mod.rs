//! Upload intents: written before an object is, so that whatever a crash leaves behind is found.
//!
//! `pending`: the upload is under way. `abandoned`: the object is not wanted, and only it and the row are left to remove.

pub(super) mod store;

use rowhouse_blobs::BlobKey;
use rowhouse_domain::{ReservationId, TenantId, UploadId};
use uuid::Uuid;

/// An upload that is about to begin.
#[derive(Debug, Clone)]
pub(super) struct Intent {
    pub(super) id: Uuid,
    pub(super) object: BlobKey,
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

/// An upload that came to nothing.
pub(super) struct Expired {
    pub(super) id: Uuid,
    pub(super) object_key: String,
    pub(super) object: BlobKey,
    pub(super) reservation: Option<ReservationId>,
}
