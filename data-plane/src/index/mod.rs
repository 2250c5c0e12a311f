//! Makes files, folders and workspaces searchable: reads what they are, and replaces their rows in the search tables.
//!
//! Everything here may run twice and in any order: the rows are written from what the item is at that moment, under a
//! lock on it. What can't be read is recorded and done with; only what may succeed later is an error.

mod file;
mod label;
mod labels;
mod passages;
mod place;
pub(crate) mod store;

pub use file::file;
pub use labels::labels;
pub use place::{folder, workspace};
