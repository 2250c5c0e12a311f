//! Immutable databases that tenants' databases are cloned from: one for each cluster and version of the tenant migrations.
//!
//! A template is made under another name, closed, and then published by renaming it, so that what has a template's name
//! is whole. Several installations may use one cluster: what another one made of the same migrations is as good.

mod fingerprints;
mod known;
mod make;
mod store;

pub(crate) use fingerprints::fingerprint;
pub(crate) use known::KnownTemplates;
pub(crate) use make::{ensure, mark_of, name_of};
