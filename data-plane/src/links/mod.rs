//! Signed links: an address that lets whoever has it download one file, or upload one.
//!
//! The address says and signs everything that it grants, so a changed one is refused before anything is looked up. It is
//! worth what the key that made it is worth, and its row is there to be revoked: it is read at each use.

pub mod content;
mod create;
pub mod model;
pub mod routes;
pub(crate) mod store;
pub(crate) mod terms;
mod views;

pub use views::LinkView;
