//! Databases that wait for the next tenants: complete, closed, and of an id that no tenant has yet.
//!
//! Cloning a template takes longer than everything else about a tenant together, so the leader does it ahead. Taking one
//! is a row lock; making it a tenant's is a change of names.

mod adopt;
mod keep;
pub(crate) mod store;

pub(crate) use adopt::{Adopted, adopt};
pub(crate) use keep::{drop_stock, keep};
