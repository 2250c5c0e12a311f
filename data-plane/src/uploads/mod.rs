//! Uploads in parts: what tus and S3 have in common.
//!
//! An upload is a row, and each part that has come is an object with a row, so that it goes on after a crash of this process
//! as if nothing had been. At the end the parts are read in their order into the same upload as of every other door; the
//! transaction that records the file also ends the upload. What is given up, or forgotten, leaves its objects to the sweep.

mod assemble;
mod end;
pub(crate) mod parts;
mod room;
pub(crate) mod store;
pub(crate) mod sweep;
pub mod tus;

use jiff::Timestamp;
use rowhouse_blobs::BlobKey;
use rowhouse_domain::{FolderId, ReservationId, UploadId, WorkspaceId};
use uuid::Uuid;

use crate::contents::Object;

pub(crate) use assemble::{Assemblies, assemble, made};
pub(crate) use end::{abandon, begin, finish};
pub(crate) use parts::Part;
pub(crate) use room::Room;

/// How an upload in parts is spoken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Parts follow each other.
    Tus,
    /// Parts have numbers.
    S3,
}

impl Protocol {
    /// The text in the database.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Tus => "tus",
            Self::S3 => "s3",
        }
    }
}

/// What an upload is to become, and what is said of it.
#[derive(Debug, Clone)]
pub(crate) struct NewSession {
    pub(crate) id: UploadId,
    pub(crate) protocol: Protocol,
    pub(crate) workspace: Option<WorkspaceId>,
    pub(crate) folder: Option<FolderId>,
    /// The file's name; of S3 the whole key. None where it only becomes a piece of another upload.
    pub(crate) name: Option<String>,
    pub(crate) media_type: Option<String>,
    /// Its whole length, where that is known before.
    pub(crate) length: Option<i64>,
    /// As its sender wrote it, to be told again.
    pub(crate) metadata: String,
    /// The pieces that it is made of, where others have brought them.
    pub(crate) pieces: Vec<UploadId>,
}

/// An upload in parts.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) new: NewSession,
    /// Bytes that have come.
    pub(crate) received: i64,
    pub(crate) reservation: ReservationId,
    /// The file that it has become: the version and its SHA-256.
    pub(crate) made: Option<(i32, Vec<u8>)>,
    pub(crate) expires_at: Timestamp,
    pub(crate) created_at: Timestamp,
}

impl Session {
    /// Whether every byte has come.
    pub(crate) fn is_complete(&self) -> bool {
        self.new.length == Some(self.received)
    }
}

/// A part that is to be recorded.
#[derive(Debug)]
pub(crate) struct NewPart {
    pub(crate) number: i32,
    pub(crate) object: BlobKey,
    /// What it is sealed under.
    pub(crate) content_key: Option<Uuid>,
    pub(crate) size: i64,
    pub(crate) sha256: Vec<u8>,
}

/// A part that has come.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) number: i32,
    pub(crate) object: Object,
    pub(crate) size: i64,
    pub(crate) sha256: Vec<u8>,
    pub(crate) created_at: Timestamp,
}
