//! The line of tenants that wait, as a whole and within each pool.

use std::collections::BTreeMap;
use std::collections::HashMap;

use rowhouse_domain::TenantId;

use super::PoolId;

/// A tenant in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) turn: u64,
    pub(super) tenant: TenantId,
    pub(super) pool: PoolId,
}

/// Tenants by their turn. Connections of a pool serve only its own tenants, so each pool has its part of the line.
#[derive(Default)]
pub(super) struct Line {
    next: u64,
    all: BTreeMap<u64, (TenantId, PoolId)>,
    by_pool: HashMap<PoolId, BTreeMap<u64, TenantId>>,
}

impl Line {
    /// Puts a tenant at the end and returns its turn.
    pub(super) fn join(&mut self, tenant: TenantId, pool: PoolId) -> u64 {
        self.next += 1;
        self.all.insert(self.next, (tenant, pool));
        self.by_pool.entry(pool).or_default().insert(self.next, tenant);
        self.next
    }

    /// Takes a tenant out.
    pub(super) fn leave(&mut self, turn: u64) {
        let Some((_, pool)) = self.all.remove(&turn) else { return };
        if let Some(part) = self.by_pool.get_mut(&pool) {
            part.remove(&turn);
            if part.is_empty() {
                self.by_pool.remove(&pool);
            }
        }
    }

    /// The tenants in the order of their turns.
    pub(super) fn members(&self) -> impl Iterator<Item = Member> + '_ {
        self.all.iter().map(|(turn, (tenant, pool))| Member { turn: *turn, tenant: *tenant, pool: *pool })
    }

    /// The first tenant of a pool.
    pub(super) fn first_of(&self, pool: PoolId) -> Option<Member> {
        let (turn, tenant) = self.by_pool.get(&pool)?.first_key_value()?;
        Some(Member { turn: *turn, tenant: *tenant, pool })
    }

    /// The first tenant of any other pool.
    pub(super) fn first_beside(&self, pool: PoolId) -> Option<Member> {
        self.members().find(|member| member.pool != pool)
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}
