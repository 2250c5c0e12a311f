//! Comparing every schema with the template of its version: on request, on a schedule, and after each run of migrations.
//!
//! A sweep is a row with a position. The leader carries it on, a few schemas at a time, and whoever leads next goes on there.
//! What was seen of a schema is kept until it is looked at again; while it differs, runs pass it by, unless somebody has said of
//! all that differs that it is meant.

mod accept;
mod begin;
mod carry;
mod check;
mod model;
pub(crate) mod routes;
mod store;

pub(crate) use carry::{carry_on, show};
pub(crate) use check::{look_inside, shown};
pub(crate) use store::{follow, record_of_run};
