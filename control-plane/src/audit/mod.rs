//! The record of every change: written in the transaction that makes the change, never changed itself.

mod model;
pub(crate) mod routes;
mod size;
mod store;

pub(crate) use model::{Change, Requester};
pub(crate) use store::append;
