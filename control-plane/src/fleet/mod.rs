//! Migrating all tenants' schemas while they are served: runs that go in batches, canaries first, and halt by themselves.
//!
//! A run is a row; so is each schema that it has begun. Workers, in any number of processes, claim schemas of it and say what
//! came of them; every decision is made under the lock on the run's row ([`rules`]), so that it does not matter who makes it.
//! What is left to do is read from the schemas' own versions whenever one is claimed, and not written down beforehand: a
//! tenant that is made during a run is not missed, and one that is gone is not looked for. Several runs go on at once where no
//! schema can ever be in two of them ([`overlap`]).

mod ahead;
mod away;
mod begin;
mod birth;
mod claim;
mod hold;
mod model;
mod notices;
mod overlap;
mod plan;
mod rehearsal;
mod requests;
pub(crate) mod routes;
mod rules;
mod schema;
mod serving;
mod store;
mod sweep;
mod worker;

pub(crate) use birth::birth_version;
pub(crate) use model::Selection;
pub(crate) use notices::{Webhook, tell};
pub(crate) use rehearsal::cloned_schema;
pub(crate) use requests::Where;
pub(crate) use store::{is_of_the_fleet, schema_of};
pub(crate) use sweep::sweep;
pub(crate) use worker::work;
