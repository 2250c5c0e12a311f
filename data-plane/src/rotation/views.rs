//! Content keys as the API shows them: never the key itself.

use rowhouse_domain::ContentKeyId;
use rowhouse_web::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// A key that contents are sealed under.
#[derive(Debug, Serialize, ToSchema)]
pub struct ContentKeyView {
    #[schema(value_type = String, example = "ctk_01jd0000000000000000000000")]
    pub(super) id: ContentKeyId,
    /// Keys count from 1; the one with the highest number seals what comes.
    pub(super) number: i32,
    /// Contents that are sealed under it.
    pub(super) contents: i64,
    /// Their bytes.
    pub(super) bytes: i64,
    pub(super) created_at: Timestamp,
}
