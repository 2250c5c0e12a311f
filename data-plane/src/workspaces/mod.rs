//! Workspaces: the outermost places that folders and files lie in; they may contain each other.

mod change;
pub mod model;
pub(crate) mod purge;
pub mod routes;
pub(crate) mod store;
mod views;

pub use views::WorkspaceView;
