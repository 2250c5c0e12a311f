//! PostgreSQL on this machine: finds the server's binaries and runs private clusters of it.
//!
//! A cluster made here listens on loopback only, asks for a password, carries a marker, and is the only kind
//! that this crate will start, stop or delete. Nothing here knows what the databases hold.

mod account;
mod cluster;
mod error;
mod guard;
mod initialize;
mod installation;
mod launch;
mod marker;
mod pgbouncer;
mod place;
mod postmaster;
mod version;

pub use cluster::{AlreadyRunning, Cluster, Durability, Options, Superuser};
pub use error::Error;
pub use installation::{Installation, MINIMUM_PGVECTOR, MINIMUM_POSTGRES, REQUIRED_CONTRIB};
pub use pgbouncer::PgBouncer;
pub use place::default_tmpfs;
pub use version::Version;
