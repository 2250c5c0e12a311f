//! Folders: the tree in a workspace that files lie in.

mod change;
mod copy;
pub(crate) mod doors;
mod lists;
pub mod model;
pub mod routes;
pub(crate) mod store;
pub(crate) mod trash;
mod views;

pub use views::FolderView;
