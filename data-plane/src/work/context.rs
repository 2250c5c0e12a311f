//! What background work needs of its process.

use std::path::PathBuf;
use std::time::Duration;

use rowhouse_database::{ActivePlacement, PlatformPool, TenantConnection, TenantPools};
use rowhouse_problem::Result;
use rowhouse_settings as settings;

use super::nudge::Nudge;
use crate::contents::Contents;

/// Connections, contents and limits for background work. Cheap to clone.
#[derive(Clone)]
pub struct WorkContext {
    /// `saas_platform`.
    pub platform: PlatformPool,
    /// Marks that are owed.
    pub nudge: Nudge,
    /// The tenants' databases.
    pub tenants: TenantPools,
    /// Contents.
    pub contents: Contents,
    /// How much at once, how often, how many attempts.
    pub settings: settings::Work,
    /// How long deleted things stay.
    pub trash: settings::Trash,
    /// Where objects are kept, as `blobs.bucket` has it.
    pub bucket: String,
    /// How long room is reserved for what is about to be made.
    pub reservation_ttl: Duration,
    /// How often contents are read again.
    pub scrub: settings::Scrub,
    /// The binary whose subcommand `extract` is the helper process: this service's own.
    pub extractor: PathBuf,
}

impl WorkContext {
    /// Borrows a connection of the tenant.
    ///
    /// # Errors
    /// Unavailable, where the cluster does not answer or is out of room.
    pub async fn tenant(&self, placement: &ActivePlacement) -> Result<TenantConnection> {
        self.tenants.checkout_in_background(placement).await
    }
}
