//! The control plane: who may have tenants, which tenants there are, and the work of making them.
//!
//! Read in this order: `startup` builds the [`Application`], `routes` is the whole API, `access` says who
//! may call what. Behind them each resource has a folder with the same rooms: `routes`, `model`, `store`.
//! No handler runs DDL: it records an operation, which the reconciler in `operations` carries out.

pub mod access;
pub mod command;
mod context;
mod housekeeping;
mod leader;
mod preparation;
mod routes;
mod startup;

mod authentication;
mod input;
mod problems;
mod rate_limits;

mod api_keys;
mod audit;
mod clusters;
mod doctor;
mod fleet;
mod groups;
mod idempotency;
mod members;
mod operations;
mod organizations;
mod stock;
mod sweeps;
mod templates;
mod tenants;
mod usage;

pub use preparation::{check, issue_admin_key};
pub use routes::documentation;
pub use startup::{Application, Signals, StopHandle};
