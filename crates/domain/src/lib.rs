//! The words of Rowhouse: ids, names, tenancy, scopes and tiers.
//!
//! Types and rules only. Nothing here opens a connection, reads a file or knows HTTP.

pub mod actor;
pub mod fleet;
pub mod ids;
pub mod names;
mod rate_limit;
pub mod scopes;
pub mod tenancy;
mod text_enum;
mod typeid;

pub use actor::{Actor, ActorKind};
pub use fleet::{
    MigrationDirection, MigrationOrder, MigrationPhase, MigrationRehearsal, MigrationRunState, MigrationVerify,
    SchemaCheckState, SchemaMigrationState, SweepCause, SweepState,
};
pub use ids::*;
pub use names::{DatabaseName, InvalidName, ItemName, OrganizationName, RoleName, TenantName};
pub use rate_limit::RateLimit;
pub use scopes::{Scope, Scopes};
pub use tenancy::{Isolation, MemberRole, MemberStatus, OrganizationStatus, TenantStatus, TenantType, Tier};
