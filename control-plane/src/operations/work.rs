//! What a step has at hand.

use std::sync::Arc;

use rowhouse_domain::TenantId;
use rowhouse_problem::{Error, Result};

use super::store::Claimed;
use crate::context::Context;

/// An operation being carried out.
pub(crate) struct Work {
    pub(crate) context: Arc<Context>,
    pub(crate) claimed: Claimed,
}

impl Work {
    /// The tenant that it is about.
    pub(crate) fn tenant(&self) -> Result<TenantId> {
        self.claimed.tenant.ok_or_else(|| Error::internal("the operation names no tenant"))
    }
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The world is as the step wants it.
    Done,
    /// The world is as this step wants it, and all those up to the named one.
    Through(&'static str),
    /// All is done but what is a matter of the transaction that ends the operation.
    AtTheEnd,
    /// The whole operation was done before.
    Finished,
    /// Nobody wants the whole operation any more.
    Obsolete,
}
