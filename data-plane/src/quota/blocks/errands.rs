//! What this process has to say about its blocks: to `saas_platform`, which leases them, and to the tenants, whose rows say that
//! they are open.

use std::time::{Duration, Instant};

use futures::StreamExt;
use rowhouse_domain::{OrganizationId, ReservationId};
use rowhouse_problem::Result;

use super::purse::{Errand, Purse};
use super::{Blocks, Owner, store, sweep};
use crate::authentication::Caller;
use crate::quota;
use crate::state::AppState;

/// How often blocks are looked after where nobody asks for one.
const TICK: Duration = Duration::from_millis(500);
/// Errands at once; a tenant that does not answer holds up one of them.
const AT_ONCE: usize = 4;

struct Task {
    owner: Owner,
    caller: Caller,
    errand: Errand,
}

impl Blocks {
    /// Leases what is wanted, keeps what is in use, and gives back what is not, for as long as the future is polled.
    pub(crate) async fn keep(self, state: AppState) {
        if self.0.largest == 0 {
            return;
        }
        loop {
            tokio::select! {
                () = self.0.wanted.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
            for task in self.due() {
                // In tasks of their own: one that has to wait holds up no other.
                let (blocks, state) = (self.clone(), state.clone());
                self.0.errands.spawn(async move { blocks.run(&state, task).await });
            }
        }
    }

    /// Gives back everything, also what is being leased: the process ends.
    pub(crate) async fn end(&self, state: &AppState) {
        let entries = self.purses().take().unwrap_or_default();
        let mut tasks = Vec::new();
        for (owner, mut entry) in entries {
            entry.purse.retire();
            let errands = entry.purse.errands(self.0.terms, Instant::now());
            tasks.extend(errands.into_iter().map(|errand| Task { owner, caller: entry.caller.clone(), errand }));
        }
        futures::stream::iter(tasks).for_each_concurrent(AT_ONCE, |task| self.run(state, task)).await;
        self.0.errands.close();
        self.0.errands.wait().await;
    }

    /// Gives back what is free of an organization's blocks, because there is no other room left. Says whether there was any.
    pub(crate) async fn give_back(&self, state: &AppState, organization: OrganizationId) -> Result<bool> {
        let mut unspent = Vec::new();
        if let Some(purses) = self.purses().as_mut() {
            for entry in purses.values_mut().filter(|entry| entry.organization == organization) {
                unspent.extend(entry.purse.empty());
            }
        }
        for (block, bytes) in &unspent {
            // Where this fails, the rest comes back with the block's end.
            quota::store::give_back(&state.platform, *block, *bytes).await?;
        }
        Ok(!unspent.is_empty())
    }

    fn due(&self) -> Vec<Task> {
        let (now, terms) = (Instant::now(), self.0.terms);
        let mut tasks = Vec::new();
        if let Some(purses) = self.purses().as_mut() {
            for (owner, entry) in purses.iter_mut() {
                let errands = entry.purse.errands(terms, now);
                tasks.extend(errands.into_iter().map(|errand| Task {
                    owner: *owner,
                    caller: entry.caller.clone(),
                    errand,
                }));
            }
            purses.retain(|_, entry| !entry.purse.is_over(terms, now));
        }
        tasks
    }

    async fn run(&self, state: &AppState, task: Task) {
        let Task { owner, caller, errand } = task;
        let outcome = match errand {
            Errand::Lease(least) => {
                let leased = self.lease(state, owner, &caller, least).await;
                let has_come = matches!(leased, Ok(true));
                self.with(owner, |purse| purse.leased(has_come, Instant::now()));
                leased.map(|_| ())
            }
            Errand::Renew(block) => self.renew(state, owner, &caller, block).await,
            Errand::Close(block) => close(state, &caller, block).await,
        };
        if let Err(error) = outcome {
            tracing::warn!(tenant.id = %owner.tenant, error = error.chain(), ?errand, "a block of quota has to wait");
        }
    }

    /// Until the tenant's row is there, the reservation ends by itself; from then on whoever finds the row ends it.
    async fn lease(&self, state: &AppState, owner: Owner, caller: &Caller, least: u64) -> Result<bool> {
        let (block, terms) = (ReservationId::new(), self.0.terms);
        let size = quota::store::lease(
            &state.platform,
            block,
            owner.tenant,
            owner.account,
            (least, self.0.largest),
            terms.ttl,
        )
        .await?;
        let Some(size) = size else { return Ok(false) };
        let begun = Instant::now();
        let connection = caller.connection(state).await?;
        store::insert(&connection, block, size, terms.ttl).await?;
        drop(connection);
        if !quota::commit(&state.platform, block, owner.tenant, size).await? {
            return Ok(false);
        }
        let size = u64::try_from(size).map_err(rowhouse_problem::Error::internal)?;
        let is_kept = self.with(owner, |purse: &mut Purse| purse.add(block, size, terms, begun)).is_some();
        if !is_kept {
            // Nobody wants it any more. Where its process dies, it ends when nobody has heard of it for long enough.
            close(state, caller, block).await?;
        }
        Ok(is_kept)
    }

    async fn renew(&self, state: &AppState, owner: Owner, caller: &Caller, block: ReservationId) -> Result<()> {
        let begun = Instant::now();
        let connection = caller.connection(state).await?;
        if store::extend(&connection, block, self.0.terms.ttl).await? {
            self.with(owner, |purse| purse.renewed(block, self.0.terms, begun));
        } else {
            // Somebody took this process for dead, and what uploads hold of the block is nothing any more.
            self.with(owner, |purse| purse.forget(block));
        }
        Ok(())
    }
}

/// What can't be done now is done by whoever looks at the tenant when the block's time is over.
async fn close(state: &AppState, caller: &Caller, block: ReservationId) -> Result<()> {
    let connection = caller.connection(state).await?;
    store::close(&connection, block).await?;
    sweep::settle(&connection, &state.platform).await
}
