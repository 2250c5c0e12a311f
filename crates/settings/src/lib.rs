//! Typed settings: `deploy/settings/default.toml`, then a file, then `ROWHOUSE__SECTION__KEY`.
//!
//! The only place that reads the environment. Unknown keys are errors that name the key.

mod load;
mod sections;

pub use load::{SettingsError, load, load_from};
pub use sections::*;
