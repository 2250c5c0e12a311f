//! What a tenant's life survives: control planes that die at every step, steps that fail, two that work on the same.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod deaths;
mod failures;
mod full_disk;
mod house;
mod leader;
mod ledger;
mod logins;
mod names;
mod restarts;
