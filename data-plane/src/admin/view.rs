//! The pools as an operator sees them.

use rowhouse_database::ClusterLoad;
use serde::Serialize;

use crate::state::AppState;

/// `GET /v1/pools`.
#[derive(Serialize)]
pub(super) struct PoolsView {
    /// Tenants, and databases that tenants share, that have a pool in this process.
    pools: usize,
    /// Connections of this process to all clusters.
    connections: usize,
    clusters: Vec<ClusterLoad>,
}

impl PoolsView {
    pub(super) fn of(state: &AppState, busiest: usize) -> Self {
        let (connections, pools) = state.tenants.load();
        Self { pools, connections, clusters: state.tenants.loads(busiest) }
    }
}
