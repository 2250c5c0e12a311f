//! The suite of the data plane once more, for tenants that have a schema of their own.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

/// How the suite's tenants are kept apart.
const ISOLATION: rowhouse_domain::Isolation = rowhouse_domain::Isolation::Schema;

/// Whether PgBouncer stands before the suite's cluster.
const IS_POOLED: bool = false;

/// Migrations other than this build's own.
const MIGRATIONS: fn() -> std::path::PathBuf = std::path::PathBuf::new;

#[path = "suite.rs"]
mod suite;

use suite::{house, house_with};
