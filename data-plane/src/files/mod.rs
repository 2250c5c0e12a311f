//! Files: their metadata, their contents and the versions of both going in and out.
//!
//! A content streams once, is hashed on the way, and is acknowledged when both object and rows are durable. No
//! connection to PostgreSQL is held while bytes move.

pub mod batch;
mod blobs;
mod byteranges;
mod change;
mod cleanup;
pub mod content;
mod copy;
mod destination;
mod digest;
mod disposition;
pub(crate) mod doors;
mod download;
mod finalize;
pub(crate) mod intents;
mod lists;
pub mod model;
mod multipart;
mod pace;
mod pulse;
pub(crate) mod purge;
mod range;
mod repetition;
mod reservation;
pub(crate) mod room;
pub mod routes;
mod said;
mod slots;
pub(crate) mod store;
pub mod sweep;
mod upload;
pub mod versions;
mod views;

pub(crate) use slots::Slot;
pub use slots::Slots;
pub use views::{FileView, VersionView};

/// `Content-Disposition` of something to be saved under a name.
pub(crate) fn attachment(name: &str) -> String {
    disposition::content_disposition(disposition::Disposition::Attachment, name)
}
