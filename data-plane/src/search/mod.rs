//! `GET /v1/search`: files, folders and workspaces by words, by spelling, by likeness, or by several at once.
//!
//! How items are ranked is decided by functions in the tenant's database; what they look into is written by `index`.

mod find;
mod model;
pub mod routes;
mod store;
mod views;

pub use model::{Kind, Mode, SearchQuery};
pub use views::{HitView, SearchAnswer};
