//! The data plane's connections to its tenants, seen from outside: what users are answered and what PostgreSQL counts while
//! servers die, stall, starve and are cut off, and while tenants crowd each other.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod answers;
mod canary;
mod commits;
mod crowds;
mod departures;
mod estate;
mod kills;
mod ledger;
mod load;
mod log_ins;
mod network;
mod replicas;
mod returns;
mod seen;
mod stalls;
mod starvation;
mod watch;
