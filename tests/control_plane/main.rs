//! The control plane over HTTP: who may do what, and what happens then.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod access;
mod api_keys;
mod audit;
mod bad_input;
mod cli;
mod clusters;
mod clusters_with_tls;
mod doctor;
mod isolation;
mod lifecycle;
mod limits;
mod members;
mod operational;
mod operations;
mod organizations;
mod provisioning;
mod purge;
mod rate_limits;
