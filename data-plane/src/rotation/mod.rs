//! A tenant's contents get a new key on demand: it seals whatever comes from then on, and a job seals anew what older keys have,
//! or none. When nothing is sealed under an old key any more it is forgotten, and what copies there still are of the old objects
//! are noise.

mod reseal;
pub mod routes;
mod store;
mod views;

use std::time::Duration;

use jiff::Timestamp;
use rowhouse_database::ActivePlacement;
use rowhouse_problem::Result;
use rowhouse_web::IdempotencyKey;

pub(crate) use reseal::reseal;

use crate::answer::Answer;
use crate::authentication::Caller;
use crate::changes::apply_once;
use crate::idempotency::Request;
use crate::jobs;
use crate::state::AppState;
use crate::work::{self, NewJob, WorkContext};

const ROUTE: &str = "POST /v1/content-keys";
/// An upload under way still ends with the key that it began with.
const LONGEST_UPLOAD: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Makes a new key, and queues the job that seals the tenant's contents under it.
async fn rotate(state: &AppState, caller: &Caller, key: &IdempotencyKey) -> Result<Answer> {
    let request = Request::new(caller, ROUTE, key, &());
    apply_once(state, &request, async |change| {
        let job = NewJob::reseal(state.contents.renew_key(change, caller.tenant()).await?);
        work::enqueue(change, &job).await?;
        store::count(change, job.id()).await?;
        jobs::accepted(change, job.id()).await
    })
    .await
}

/// Forgets keys that nothing is sealed under any more.
pub(crate) async fn sweep(context: &WorkContext, placement: &ActivePlacement) -> Result<Option<Timestamp>> {
    let forgotten = store::forget_unused(&context.tenant(placement).await?, LONGEST_UPLOAD).await?;
    if forgotten > 0 {
        tracing::info!(tenant.id = %placement.get().tenant, keys = forgotten, "forgot content keys that nothing is sealed under");
    }
    Ok(None)
}
