//! How far what was read of another database can still be taken for what is so.
//!
//! Somebody says there what has changed, and we listen. While every notice is heard, whatever was read since is right until a
//! notice says otherwise: that is an [`Era`]. When it ends, because the connection broke or a number was missing, nothing read in
//! it is known to be wrong, and all of it is to be read again before use; its last heartbeat is when it was last known to be right.
//!
//! Whoever reads takes an [`Inquiry`] from [`Hearing`] first, then asks, then keeps what was said together with a [`Reading`], and
//! then looks whether the inquiry was overtaken meanwhile, where it forgets it again. Nothing here waits for anything, so a reader's
//! and the listener's steps mix in any order: `tests/loom.rs` tries them all.

mod era;
mod hearing;
mod marks;
mod moment;
mod reading;
mod sync;

pub use era::Era;
pub use hearing::{Hearing, Inquiry};
pub use moment::Moment;
pub use reading::{Reading, Standing};
