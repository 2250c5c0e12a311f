//! Both sets of migrations, embedded: `platform-migrations` for `saas_platform`, `tenant-migrations` for every tenant.
//!
//! The only crate that knows refinery. It opens no connection and sets no role or search path: the caller has done that.
//! Migrations go forward by [`run`] and back by [`undo_to`], in one schema at a time; [`rehearse`]
//! tries a run out, [`fingerprint`] says what a schema is made of.

mod backfill;
mod concurrently;
mod directive;
mod error;
mod fingerprint;
mod history;
mod migration;
mod options;
mod outside;
mod patience;
pub mod platform;
mod rehearse;
mod run;
mod session;
mod set;
mod transaction;
mod undo;

pub use directive::{Allowance, Backfill, InvalidDirective, Kind, UndoKind};
pub use error::{Divergence, Error};
pub use fingerprint::{
    Difference, Entry, Fingerprint, Glance, Inspection, Repair, difference, fingerprint, functions, glance, inspect,
    repair,
};
pub use history::{current_version, entry as applied_entry};
pub use migration::{InvalidSet, Migration, Migrations, Undo};
pub use options::{Event, Observer, Options, Report, Step, Stop, unobserved};
pub use rehearse::{Cancel, HeldLock, Outcome, Rehearsal, RehearsedStep, rehearse};
pub use run::run;
pub use set::Set;
pub use undo::undo_to;
