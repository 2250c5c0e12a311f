//! The control plane over HTTP: who may do what, and what happens then.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod access;
mod api_keys;
mod audit;
mod bad_input;
mod lifecycle;
mod members;
mod operational;
mod organizations;
mod provisioning;
