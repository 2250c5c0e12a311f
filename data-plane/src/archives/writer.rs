//! The thread that turns pieces into an archive. Compressing takes processor time, and the crate's writer is a blocking one.

use std::cell::Cell;
use std::io::{self, BufWriter, Write};
use std::rc::Rc;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::mpsc::{Receiver, Sender};
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Bytes that leave at once.
const CHUNK: usize = 64 * 1024;

/// A part of an archive, in the order of its writing.
pub(super) enum Piece {
    /// A folder, its path ending in `/`.
    Folder(String),
    /// A file, whose bytes follow.
    File(Entry),
    /// Bytes of the last file.
    Bytes(Bytes),
    /// There is no more.
    End,
}

/// A file in an archive.
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) size: u64,
    /// Whether compressing it is worth the time.
    pub(super) shrinks: bool,
    pub(super) changed_at: Timestamp,
}

/// Writes pieces until there are no more, then says so with `None`. Where they end without an end, or nobody takes what is
/// written, it just stops.
pub(super) fn run(mut pieces: Receiver<Piece>, written: Sender<Option<Bytes>>) {
    let is_muted = Rc::new(Cell::new(false));
    let out = Out { written: written.clone(), is_muted: Rc::clone(&is_muted) };
    let mut archive = ZipWriter::new_stream(BufWriter::with_capacity(CHUNK, out));
    if !matches!(write(&mut archive, &mut pieces), Ok(true)) {
        // The crate finishes an archive that is dropped: nobody is to hear of this one.
        is_muted.set(true);
        return;
    }
    let finished = archive.finish().map_err(io::Error::from).and_then(|stream| stream.into_inner().flush());
    if finished.is_ok() {
        // Where nobody is left to hear it, that is fine.
        let _ = written.blocking_send(None);
    }
}

type Archive = ZipWriter<StreamWriter<BufWriter<Out>>>;

/// Says whether the end has come.
fn write(archive: &mut Archive, pieces: &mut Receiver<Piece>) -> io::Result<bool> {
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Folder(path) => archive.add_directory(path, SimpleFileOptions::default())?,
            Piece::File(entry) => archive.start_file(entry.path.as_str(), entry.options())?,
            Piece::Bytes(bytes) => archive.write_all(&bytes)?,
            Piece::End => return Ok(true),
        }
    }
    Ok(false)
}

impl Entry {
    fn options(&self) -> SimpleFileOptions {
        let method = if self.shrinks { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        // Compressing may make it larger, by little.
        let is_large = self.size > u64::from(u32::MAX) - (64 << 20);
        let options =
            SimpleFileOptions::default().compression_method(method).large_file(is_large).unix_permissions(0o644);
        match self.time() {
            Some(time) => options.last_modified_time(time),
            None => options,
        }
    }

    /// As archives have it: in UTC, to two seconds, and not before 1980.
    fn time(&self) -> Option<DateTime> {
        let time = self.changed_at.to_zoned(TimeZone::UTC);
        let part = |number: i8| number.unsigned_abs();
        let (date, day) = ((time.year().unsigned_abs(), part(time.month()), part(time.day())), part(time.hour()));
        DateTime::from_date_and_time(date.0, date.1, date.2, day, part(time.minute()), part(time.second())).ok()
    }
}

/// Sends what is written to the caller, and waits where it takes its time.
struct Out {
    written: Sender<Option<Bytes>>,
    is_muted: Rc<Cell<bool>>,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_muted.get() && self.written.blocking_send(Some(Bytes::copy_from_slice(bytes))).is_err() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
