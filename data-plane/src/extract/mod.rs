//! Text out of files, for search.
//!
//! Parsers meet hostile files, and a stack overflow or an endless allocation can't be caught: so they run in a helper
//! process ([`child`]) with limits that it sets on itself, while [`run`] feeds it, waits for it and says how it ended.
//! Neither touches the database; what to do with the text is the caller's business.

pub mod child;
mod decode;
mod formats;
mod normalise;
mod parent;

pub use parent::{ExtractError, Extracted, Limits, Reason, run};

/// Text beyond this is cut off: about two thousand pages are searchable, the rest of the file is not.
pub const MAX_TEXT: usize = 4 * 1024 * 1024;

/// Larger files are not parsed.
pub const MAX_INPUT: usize = 64 * 1024 * 1024;

/// How the helper process ends when it ends by itself. Anything else is a crash.
mod exit {
    pub(super) const UNSUPPORTED: u8 = 3;
    pub(super) const MALFORMED: u8 = 4;
    pub(super) const TOO_LARGE: u8 = 5;
    pub(super) const UNLIMITED: u8 = 6;
}
