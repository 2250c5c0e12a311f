//! Versions of files.

mod change;
pub(crate) mod keep;
pub mod routes;
pub(super) mod store;

pub(super) use change::delete_any;

use jiff::Timestamp;
use rowhouse_domain::{AccountId, BlobId, FileId, ItemName, VersionId, WorkspaceId};
use rowhouse_problem::Result;
use serde_json::Value;

use crate::changes::{Change, Charge};
use crate::contents::Object;
use crate::workspaces;

/// What it takes to send a version's content.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) file: FileId,
    pub(crate) id: VersionId,
    pub(crate) name: ItemName,
    pub(crate) version: i32,
    pub(crate) object: Object,
    pub(crate) sha256: Vec<u8>,
    pub(crate) mime_type: String,
    pub(crate) user_metadata: Option<Value>,
    pub(crate) created_at: Timestamp,
}

/// A version that was removed.
#[derive(Debug, Clone)]
pub(super) struct Removed {
    pub(super) file: FileId,
    pub(super) version: i32,
    pub(super) size: i64,
    pub(super) account: Option<AccountId>,
    pub(super) blob: BlobId,
}

/// Gives back what removed versions had used, a workspace's with the workspace: to the workspace at once, to everybody above it
/// by events, and to the store once no version shares their blobs. The rows of workspaces and files are locked by now.
pub(super) async fn give_back(change: &Change<'_>, removed: &[(WorkspaceId, Vec<Removed>)]) -> Result<()> {
    let (mut blobs, mut shifts): (Vec<BlobId>, Vec<(WorkspaceId, i64)>) = (Vec::new(), Vec::new());
    for (workspace, removed) in removed {
        for charge in charges(removed) {
            change.charge(&charge).await?;
        }
        shifts.push((*workspace, -removed.iter().map(|one| one.size).sum::<i64>()));
        blobs.extend(removed.iter().map(|one| one.blob));
    }
    workspaces::store::shift(change, &shifts).await?;
    blobs.sort();
    blobs.dedup();
    super::blobs::store::note_unreferenced(change, &blobs).await
}

/// One for as much of a file and an account as goes at once; none of nothing.
fn charges(removed: &[Removed]) -> Vec<Charge> {
    let mut charges: Vec<Charge> = Vec::new();
    for one in removed.iter().filter(|one| one.size > 0) {
        let same = |charge: &&mut Charge| charge.file == one.file && charge.account == one.account;
        match charges.iter_mut().find(same) {
            Some(charge) => {
                charge.bytes -= one.size;
                charge.version = None;
            }
            None => charges.push(Charge {
                file: one.file,
                version: Some(one.version),
                bytes: -one.size,
                account: one.account,
                reservation: None,
            }),
        }
    }
    charges
}
