//! Long work: wished for by handlers, recorded with its steps, carried out by the reconciler.
//!
//! An operation's kind and subject are all that the reconciler is told. What is to be done it reads from the
//! world each time, so that every step may run twice and a restart is an ordinary activation.

mod hands;
mod model;
mod pulse;
mod reconciler;
pub(crate) mod routes;
pub(crate) mod store;
mod work;

pub(crate) use hands::{Hand, Hands};
pub(crate) use model::{Kind, Operation, OperationState};
pub(crate) use pulse::{Pulse, wait};
pub(crate) use reconciler::{reap, reconcile};
pub(crate) use store::Claimed;
pub(crate) use work::{Outcome, Work};
