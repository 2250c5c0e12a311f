//! Making links. The address is worked out for each answer and kept nowhere, not even for a repeated request.

use std::time::Duration;

use jiff::Timestamp;
use rowhouse_database::TenantTransaction;
use rowhouse_domain::LinkId;
use rowhouse_problem::{Error, Result};
use rowhouse_web::{IdempotencyKey, fingerprint};
use serde::{Deserialize, Serialize};

use super::model::{Grant, Link};
use super::views::LinkView;
use super::{store, terms};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::idempotency::{self, Claim, Request};
use crate::state::AppState;
use crate::{files, folders, workspaces};

/// One short transaction: whoever holds the key longer than this has died.
const LEASE: Duration = Duration::from_secs(60);

/// What is remembered of an answer.
#[derive(Serialize, Deserialize)]
struct Made {
    id: LinkId,
}

/// A request for a link.
pub(super) struct Wanted<'a> {
    pub(super) route: &'a str,
    pub(super) key: &'a IdempotencyKey,
    /// From the request's body, before the time of its end was worked out.
    pub(super) hash: Vec<u8>,
    pub(super) grant: Grant,
    pub(super) expires_at: Timestamp,
    /// Scheme, host and port that the caller reached us by.
    pub(super) origin: String,
}

/// Tells a repeated request.
pub(super) fn hash(route: &str, body: &impl Serialize) -> Vec<u8> {
    fingerprint(route, body)
}

/// Makes a link, or gives the one that an earlier request with the same key made.
pub(super) async fn create(state: &AppState, caller: &Caller, wanted: Wanted<'_>) -> Result<LinkView> {
    let mut connection = caller.connection(state).await?;
    let transaction = connection.transaction().await?;
    let request = Request { caller, route: wanted.route, key: wanted.key, hash: wanted.hash, until: None };
    let link = match idempotency::claim(&transaction, &request, LEASE).await? {
        Claim::Replay(answer) => {
            let made: Made = serde_json::from_slice(&answer.body).map_err(Error::internal)?;
            store::find(&transaction, made.id).await?
        }
        Claim::Fresh(ticket) => {
            check(state, &transaction, &wanted.grant).await?;
            let link = Link {
                id: LinkId::new(),
                grant: wanted.grant,
                key: caller.key(),
                expires_at: wanted.expires_at,
                revoked_at: None,
                created_at: Timestamp::now(),
            };
            store::insert(&transaction, &link).await?;
            if let Some(ticket) = ticket {
                let body = serde_json::to_vec(&Made { id: link.id }).map_err(Error::internal)?;
                ticket.complete(&transaction, &Answer { status: 201, headers: Vec::new(), body }).await?;
            }
            link
        }
    };
    transaction.commit().await?;
    let address = terms::address(&state.master, &link, caller.tenant(), caller.key_prefix());
    Ok(LinkView::from(link).with_url(format!("{}{address}", wanted.origin)))
}

/// Refuses a link to what is not there: it is more likely a mistake than a plan.
async fn check(state: &AppState, transaction: &TenantTransaction<'_>, grant: &Grant) -> Result<()> {
    match grant {
        Grant::Download { file, version, inline: _ } => {
            let stored = files::doors::find(transaction, *file, *version).await?;
            stored.map(|_| ()).ok_or_else(|| files::doors::no_content(*file, *version))
        }
        Grant::Upload { place, size, media_type: _ } => {
            files::doors::check_size(state, *size)?;
            workspaces::store::room(transaction, place.workspace).await?.check(*size)?;
            if let Some(folder) = place.folder {
                folders::store::check(transaction, folder, place.workspace).await?;
            }
            Ok(())
        }
    }
}
