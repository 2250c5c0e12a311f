//! Files of migrations before they are built in: made, drafted, linted, planned with, frozen. Reads and writes files, and knows no database.

mod create;
mod draft;
mod freeze;
mod lint;
mod plan;

use std::path::{Path, PathBuf};

pub use create::{Created, Error as CreateError, create};
pub use draft::{Drawn, NOT_DRAFTED, draft};
pub use freeze::{Change, Error as FreezeError, changed, freeze};
pub use lint::{Finding, lint};
pub use plan::{Planned, plan};
use rowhouse_migrations::Set;

/// Where the files of a set lie below the repository's root.
pub fn folder(root: &Path, set: Set) -> PathBuf {
    root.join(match set {
        Set::Platform => "platform-migrations",
        Set::Tenant => "tenant-migrations",
    })
}
