//! A data plane serves the schema of its own release and the next one: the suite of the data plane once more, against a schema
//! that this build does not know yet. A process of its own, and so a cluster of its own: its templates are of a later version.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

/// How the suite's tenants are kept apart.
const ISOLATION: rowhouse_domain::Isolation = rowhouse_domain::Isolation::Dedicated;

/// Whether PgBouncer stands before the suite's cluster.
const IS_POOLED: bool = false;

/// Migrations beyond this build's own.
const MIGRATIONS: fn() -> std::path::PathBuf = versions::folder;

#[path = "../data_plane/suite.rs"]
mod suite;

mod versions;

use suite::{house, house_with};
