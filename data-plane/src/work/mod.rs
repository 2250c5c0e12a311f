//! Background work: jobs wait in their tenant's own table and are run here, as often as it takes and fairly between tenants.
//!
//! A change queues its jobs with [`enqueue`] in its own transaction, has called [`mark`] before the commit and calls
//! [`Nudge::tenant`] after it. The mark in `saas_platform` is what makes the work safe: any replica finds it there, also
//! after a crash. The nudge only makes it quick. What the jobs do is their own modules' business; this one never reads a file.

mod context;
mod ends;
mod labels;
mod marks;
mod model;
mod nudge;
mod rounds;
mod run;
mod store;
mod turns;
mod usage;
mod visit;
mod worker;

pub use context::WorkContext;
pub use marks::mark;
pub use model::{JobKind, NewJob, UsageEvent};
pub use nudge::Nudge;
pub(crate) use rounds::Rounds;
pub use store::{enqueue, enqueue_all};
pub use worker::{WorkerHandle, start};
