//! The data plane: a tenant's workspaces, folders, files and searches over HTTP, and the work behind them.
//!
//! It reads `saas_platform` and writes there only through functions granted to it; tenant data it reaches only
//! through a connection pinned to the key's own tenant.

// The service.
pub mod access;
mod admin;
pub mod authentication;
mod openapi;
pub mod rate_limits;
mod replica;
pub mod routes;
pub mod startup;
pub mod state;

// Resources.
pub mod archives;
pub mod files;
pub mod folders;
pub mod jobs;
pub mod links;
pub mod rotation;
mod s3;
mod scrub;
pub mod search;
mod strays;
pub mod uploads;
pub mod usage;
pub mod workspaces;

// What resources share.
mod answer;
pub mod canaries;
pub mod changes;
pub mod contents;
pub mod idempotency;
pub mod quota;
mod serial;
mod serving;
pub mod trees;

// Work behind the requests.
pub mod chunk;
pub mod embed;
pub mod extract;
pub mod index;
pub mod media;
pub mod placements;
pub mod work;

pub use startup::{Application, Signals, StopHandle};
