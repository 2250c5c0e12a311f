//! The data plane over HTTP, for tenants with a database of their own: contents in and out, search, quotas, and what other
//! tenants see of it.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

/// How the suite's tenants are kept apart.
const ISOLATION: rowhouse_domain::Isolation = rowhouse_domain::Isolation::Dedicated;

/// Whether PgBouncer stands before the suite's cluster.
const IS_POOLED: bool = false;

/// Up to the oldest version that this build serves.
const MIGRATIONS: fn() -> std::path::PathBuf = oldest::folder;

#[path = "suite.rs"]
mod suite;

mod auth_cache;
mod journal;
mod oldest;
mod rate_limits;

use suite::{house, house_with};
