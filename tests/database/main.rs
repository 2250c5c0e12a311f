//! The databases by themselves: catalogs, roles, row-level security, migrations, quota functions.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod catalog;
mod drafts;
mod drivers;
mod fingerprint;
mod isolation;
mod leases;
mod migrating;
mod migrations;
mod notices;
mod opening;
mod partitions;
mod placements;
mod platform_functions;
mod pools;
mod repairs;
mod roles;
mod statements;
mod support;
