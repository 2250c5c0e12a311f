//! Both sets of migrations, embedded: `platform-migrations` for `saas_platform`, `tenant-migrations` for every tenant.
//!
//! The only crate that knows refinery. It opens no connection and sets no role or search path: the caller has done that.
//! Migrations go forward by [`run`] and back by [`undo_last`].

mod error;
mod history;
mod lock;
mod run;
mod set;

pub use error::Error;
pub use history::current_version;
pub use run::{Options, Report, run, undo_last};
pub use set::{Migration, Set};
