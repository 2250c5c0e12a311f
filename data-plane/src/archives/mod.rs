//! A folder as one ZIP archive, written while it is sent: a page of rows and a few pieces of one content at a time are in memory,
//! and no connection to PostgreSQL is held while bytes move.

mod model;
pub mod routes;
mod store;
mod writer;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use rowhouse_domain::FolderId;
use rowhouse_problem::{Error, Result};
use tokio::sync::mpsc::{self, Sender};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use self::model::{Content, Place, path_bytes, places};
use self::writer::Piece;
use crate::authentication::Caller;
use crate::contents::blob_failure;
use crate::files::Slot;
use crate::state::AppState;

/// Folders and files that one archive holds: its directory at the end, some hundred bytes for each, is kept in memory.
const MOST_ENTRIES: usize = 100_000;
/// Bytes of all their paths: they are in that directory, too, and a path may have 16 KiB.
const MOST_PATH_BYTES: usize = 64 * 1024 * 1024;
/// Files whose rows are read at once.
const PAGE: i64 = 500;
/// Pieces of content on their way to the archive, and of the archive on their way to the caller.
const AHEAD: usize = 4;

/// Archives that one process writes at once: each has a thread of its own.
pub(crate) const PARALLEL: usize = 16;

/// An archive about to be sent.
struct Archive {
    state: AppState,
    caller: Caller,
    root: FolderId,
    places: Vec<Place>,
    place: Slot,
}

/// Looks at the folder and refuses one that holds too much. Gives its name and what is to be packed.
async fn plan(state: &AppState, caller: &Caller, root: FolderId) -> Result<(String, Archive)> {
    // Before anything is looked up: walking over a large folder is a part of the work.
    let place = state.archive_slots.enter(caller.tenant()).await?;
    let connection = caller.connection(state).await?;
    let folders = store::folders(&connection, root, MOST_ENTRIES + 1).await?;
    let name = folders.first().ok_or_else(|| Error::not_found("folder", root))?.name.clone();
    let room = MOST_ENTRIES.checked_sub(folders.len()).ok_or_else(too_many)?;
    let ids: Vec<FolderId> = folders.iter().map(|folder| folder.id).collect();
    let files = store::count_files(&connection, &ids, room + 1).await?;
    if files.iter().map(|files| files.count).sum::<usize>() > room {
        return Err(too_many());
    }
    let places = places(folders, MOST_PATH_BYTES).ok_or_else(too_deep)?;
    if path_bytes(&places, &files) > MOST_PATH_BYTES {
        return Err(too_deep());
    }
    Ok((name.to_string(), Archive { state: state.clone(), caller: caller.clone(), root, places, place }))
}

fn too_many() -> Error {
    let detail = format!("holds more than {MOST_ENTRIES} folders and files: ask for those in it, one by one");
    Error::invalid_field("fld", detail)
}

fn too_deep() -> Error {
    let detail =
        format!("has paths of more than {MOST_PATH_BYTES} bytes in all: ask for the folders in it, one by one");
    Error::invalid_field("fld", detail)
}

impl Archive {
    /// The archive's bytes. It ends in an error where something went wrong, so that half of it never looks whole; dropped, it
    /// ends whatever works for it.
    fn bytes(self) -> impl Stream<Item = std::io::Result<Bytes>> {
        let (pieces, to_write) = mpsc::channel(AHEAD);
        let (written, bytes) = mpsc::channel(AHEAD);
        let Self { state, caller, root, places, place } = self;
        tokio::task::spawn_blocking(move || {
            let _place = place;
            writer::run(to_write, written);
        });
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let packed = Packing { state, caller, pieces }.pack(root, &places).await;
            if let Err(error) = packed {
                tracing::warn!(error = error.chain(), "an archive was not finished");
            }
        }));
        stream::unfold(Some((bytes, task)), async |state| {
            let (mut bytes, task) = state?;
            match bytes.recv().await {
                Some(Some(piece)) => Some((Ok(piece), Some((bytes, task)))),
                Some(None) => None,
                None => Some((Err(std::io::Error::other("the archive is not whole")), None)),
            }
        })
    }
}

/// What reads rows and contents, and hands them to the writer.
struct Packing {
    state: AppState,
    caller: Caller,
    pieces: Sender<Piece>,
}

impl Packing {
    async fn pack(&self, root: FolderId, places: &[Place]) -> Result<()> {
        for place in places {
            if !place.path.is_empty() {
                // So that empty ones are there, too.
                self.send(Piece::Folder(place.path.clone())).await?;
            }
            self.pack_files(place).await?;
        }
        // A page comes back empty where the folder is gone by now: that is no end.
        store::expect_live(&self.caller.connection(&self.state).await?, root).await?;
        self.send(Piece::End).await
    }

    async fn pack_files(&self, place: &Place) -> Result<()> {
        let mut after = Uuid::nil();
        loop {
            let page = {
                let connection = self.caller.connection(&self.state).await?;
                store::files(&connection, place.id, after, PAGE).await?
            };
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id.as_uuid();
            for content in &page {
                self.pack_file(place, content).await?;
            }
        }
    }

    async fn pack_file(&self, place: &Place, content: &Content) -> Result<()> {
        self.send(Piece::File(content.entry_in(place))).await?;
        let mut body = self.state.contents.read(&content.object, None).await?.body;
        let mut size = 0;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(blob_failure)?;
            size += chunk.len() as u64;
            self.send(Piece::Bytes(chunk)).await?;
        }
        if size == content.size { Ok(()) } else { Err(Error::internal("a content has another length than its row")) }
    }

    async fn send(&self, piece: Piece) -> Result<()> {
        self.pieces.send(piece).await.map_err(|_| Error::unavailable("whoever asked for the archive is gone"))
    }
}
