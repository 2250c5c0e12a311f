//! How a ledger stands, for those who watch.

use rowhouse_domain::TenantId;
use serde::Serialize;

use super::{Connection, Ledger, PoolId};

/// The connections of one cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Connections that this process may have.
    pub budget: usize,
    /// Connections that are lent.
    pub in_use: usize,
    /// Connections that wait for the next caller.
    pub idle: usize,
    /// Connections that are being opened.
    pub opening: usize,
    /// Connections that are being closed.
    pub closing: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
    /// Tenants that have a caller that waits.
    pub tenants_waiting: usize,
    /// Logins with a connection or a caller.
    pub pools: usize,
    /// Idle connections that were closed to make room, since the process began.
    pub evicted: u64,
    /// Whether the cluster does not answer and callers are refused at once.
    pub is_refusing: bool,
}

/// What one tenant has of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TenantLoad {
    /// The tenant.
    pub tenant: TenantId,
    /// Connections that are lent to it.
    pub in_use: usize,
    /// Its callers that wait.
    pub waiting: usize,
}

impl<C: Connection, W> Ledger<C, W> {
    /// How all of it stands.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let idle = self.idle.len();
        Snapshot {
            budget: self.budget,
            in_use: self.taken - self.opening - self.closing - idle,
            idle,
            opening: self.opening,
            closing: self.closing,
            waiting: self.tenants.values().map(|tenant| tenant.waiting.len()).sum(),
            tenants_waiting: self.tenants.values().filter(|tenant| !tenant.waiting.is_empty()).count(),
            pools: self.pools.len(),
            evicted: self.evicted,
            is_refusing: self.breaker.is_open(),
        }
    }

    /// The tenants that hold or want connections now, the busiest first, so many at most.
    pub(crate) fn busiest(&self, most: usize) -> Vec<TenantLoad> {
        let mut loads: Vec<TenantLoad> = self
            .tenants
            .iter()
            .map(|(id, tenant)| TenantLoad { tenant: *id, in_use: tenant.held, waiting: tenant.waiting.len() })
            .collect();
        loads.sort_by_key(|load| std::cmp::Reverse((load.in_use + load.waiting, load.tenant)));
        loads.truncate(most);
        loads
    }

    /// Whether a pool has anything left.
    pub(crate) fn knows(&self, pool: PoolId) -> bool {
        self.pools.contains_key(&pool)
    }

    /// Connections that could be made use of now.
    pub(crate) fn demand(&self) -> usize {
        let useful = |tenant: &super::Tenant<W, C::Thread>| {
            (tenant.held + tenant.waiting.len()).min(self.limits.of(tenant.keeps))
        };
        self.tenants.values().map(useful).sum()
    }

    /// Connections that there may be at this moment: the budget, or what has not been closed since it was lowered.
    pub(crate) fn holds(&self) -> usize {
        self.budget.max(self.taken)
    }

    /// Whether callers wait for want of places, or more is held than may be.
    pub(crate) fn is_pressed(&self) -> bool {
        self.taken > self.budget || (self.taken == self.budget && !self.line.is_empty())
    }
}
