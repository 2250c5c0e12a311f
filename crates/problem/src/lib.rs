//! What can go wrong, once, for both planes: an error names a code of the catalogue.
//!
//! HTTP-free: `rowhouse_web` turns an [`Error`] into an answer. The public text (`detail`) and the
//! private cause (`source`) are separate, and the cause is never rendered.

mod catalogue;
mod error;

pub use catalogue::Code;
pub use error::{Error, FieldError, Result};
