//! The data plane over HTTP: contents in and out, search, quotas, and what other tenants see of it.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod access;
mod bad_input;
mod downloads;
mod faults;
mod files;
mod folders;
mod quota;
mod search;
mod uploads;
mod workspaces;
