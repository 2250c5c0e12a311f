//! A large file goes to the disk while it comes, so that little is left to wait for at its end, and no upload fills the
//! machine's memory with bytes that are still to be written.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use tokio::task::JoinHandle;

use crate::key::BlobKey;
use crate::local;

/// Bytes that may wait to be written before the disk is asked to.
const DIRTY: usize = 16 * 1024 * 1024;

/// The unfinished file of an upload.
pub(crate) struct Writeback {
    root: Arc<Path>,
    key: BlobKey,
    /// A handle of our own, opened when there is something to write.
    file: Arc<OnceLock<File>>,
    dirty: usize,
    running: Option<JoinHandle<()>>,
}

impl Writeback {
    pub(crate) fn new(root: Arc<Path>, key: BlobKey) -> Self {
        Self { root, key, file: Arc::default(), dirty: 0, running: None }
    }

    /// Says that so many more bytes were handed over, and has them written where that is much.
    ///
    /// A failure decides nothing here: the kernel tells every handle that was open of it (fsync(2)), so the sync at the end hears
    /// of it too.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.dirty += bytes;
        if self.dirty < DIRTY || self.running.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        self.dirty = 0;
        let (root, key, file) = (Arc::clone(&self.root), self.key, Arc::clone(&self.file));
        self.running = Some(tokio::task::spawn_blocking(move || {
            if file.get().is_none()
                && let Ok(found) = local::open_unfinished(&root, key)
            {
                let _ = file.set(found);
            }
            if let Some(Err(error)) = file.get().map(File::sync_data) {
                tracing::warn!(blob.key = %key, %error, "an upload could not be written ahead");
            }
        }));
    }
}
