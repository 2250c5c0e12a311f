//! Compares what `saas_platform` says with what each cluster has, names every difference, and repairs what is safe.
//!
//! Tenants come and go while it looks, so a difference counts only if a second look finds it again, and a tenant that an
//! operation is about is left out. What is marked with an id that this installation does not know belongs to another one.

mod accounts;
mod catalog;
mod databases;
mod finding;
mod inside;
mod inspect;
mod platform;
mod repair;
mod roles;
pub(crate) mod routes;
mod storage;
mod store;

pub(crate) use inspect::run_step;
