//! What tests run on: a real PostgreSQL cluster, databases cloned from migrated templates, and both
//! services as in production but for the ports.
//!
//! A missing server is a clear failure that names the command which installs it, never a skip.

mod client;
mod cluster;
mod databases;
mod fault_proxy;
mod house;
mod janitor;
mod migration_worker;
mod pgbouncer;
mod placements;
mod process;
mod processes;
mod small_disk;
mod wild;

pub use client::{Answer, Client};
pub use cluster::{CONTROL_PASSWORD, DATA_PASSWORD, FURTHER_CONTROL_PASSWORD, StoppedCluster, TestCluster};
pub use databases::{OwnDatabase, TenantDatabase, master_key, platform_database, tenant_database};
pub use fault_proxy::{Carried, CommitFault, Cut, FaultProxy, Faults, Sprung, Toward};
pub use house::{Given, TestHouse, program};
pub use migration_worker::MigrationWorker;
pub use pgbouncer::PgBouncer;
pub use placements::{GroupDatabase, SchemaTenant, SharedDatabase, group_database, shared_database};
pub use process::{ControlPlaneProcess, DataPlaneProcess};
pub use processes::Frozen;
pub use small_disk::{SmallDisk, open_to_all};
pub use wild::Wild;
