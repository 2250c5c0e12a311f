//! Removing a deleted tenant for good: close → rights → data → role → objects → tombstone.
//!
//! What a step removes must prove to be this tenant's first, by the comment that provisioning left on it. Each step may
//! run twice: what is gone is done. From the moment at which a purge is recorded there is no way back for the tenant.

mod bury;
mod catalog;
mod objects;
mod overdue;
mod preview;
mod request;
mod rows;
mod steps;

pub(crate) use bury::bury;
pub(crate) use overdue::purge_overdue;
pub(super) use preview::{Preview, look};
pub(super) use request::{PurgeTenant, refusal, request};
pub(crate) use steps::run_step;
