//! Every backend under the same tests: the object store's public suite, and what we promise on top of it.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod promises;
mod s3_semantics;
mod sealed;
mod servers;
mod suite;
