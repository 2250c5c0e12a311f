//! Databases that several tenants live in.

mod make;
pub(crate) mod store;

pub(crate) use make::{ensure_room, mark, size};
