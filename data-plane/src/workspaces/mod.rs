//! Workspaces: the outermost places that folders and files lie in; they may contain each other.

pub(crate) mod change;
pub mod model;
pub mod routes;
pub(crate) mod store;
pub(crate) mod trash;
mod views;

pub use views::WorkspaceView;
