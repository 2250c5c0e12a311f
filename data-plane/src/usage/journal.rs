//! The journal: what requests came to, written to files that outlive this process, not the machine: nothing is forced to disk.
//!
//! A file is a *segment*, named by a UUIDv7, and held by a lock for as long as its process writes it. A segment that nobody holds,
//! whoever has written it, is summed, reported and deleted. The ids and the time of its events follow from its name, so that it
//! is counted once however often it is reported.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, ErrorKind, Read, Result, Seek as _, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};
use std::{fs, mem};

use jiff::Timestamp;
use rowhouse_domain::TenantId;
use uuid::Uuid;

use super::record::{self, Event, LENGTH, Moved};

/// How the names of segments end; those of summaries that are not in their place yet end in another way.
const ENDING: &str = "usage";
const UNFINISHED: &str = "part";

/// The segments in a folder, and the one that this process writes.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    /// Shared by those who write records: one who is put to sleep over it holds up no other.
    current: RwLock<Current>,
    /// Whether it was said that nothing can be written.
    is_lamented: AtomicBool,
}

/// Where the next record goes.
#[derive(Debug, Default)]
enum Current {
    /// To a segment that is begun then, so that its name says when its first record came.
    #[default]
    None,
    Open(Segment),
    /// Nowhere, until the next period: a disk that refused is not asked for each request.
    Refused,
}

#[derive(Debug)]
struct Segment {
    id: Uuid,
    file: File,
    begun: Instant,
    /// Bytes that were given away. Each record has a place of its own, so what fails or is never written spoils no other.
    given: AtomicU64,
}

impl Segment {
    fn append(&self, record: &[u8; LENGTH]) -> Result<()> {
        self.file.write_all_at(record, self.given.fetch_add(LENGTH as u64, Ordering::Relaxed))
    }
}

/// A segment that nobody writes any more, and nobody else reports.
pub(super) struct Taken {
    pub(super) events: Vec<Event>,
    id: Uuid,
    /// Holds the lock.
    _file: File,
}

impl Journal {
    /// The journal in a folder, which is made when it is needed.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, current: RwLock::default(), is_lamented: AtomicBool::new(false) }
    }

    /// Writes a record down, and says whether it did.
    pub(super) fn append(&self, tenant: TenantId, moved: Moved) -> bool {
        match self.write(&record::write(tenant, moved)) {
            Ok(is_written) => {
                if is_written && self.is_lamented.load(Ordering::Relaxed) {
                    self.is_lamented.store(false, Ordering::Relaxed);
                    tracing::info!("usage of the API is written down again");
                }
                is_written
            }
            Err(error) => {
                *self.changed() = Current::Refused;
                if !self.is_lamented.swap(true, Ordering::Relaxed) {
                    let folder = self.folder.display();
                    tracing::warn!(%error, %folder, "usage of the API is counted in memory: it can't be written down");
                }
                false
            }
        }
    }

    fn write(&self, record: &[u8; LENGTH]) -> Result<bool> {
        match &*self.current() {
            Current::Open(segment) => return segment.append(record).map(|()| true),
            Current::Refused => return Ok(false),
            Current::None => {}
        }
        let mut current = self.changed();
        if matches!(*current, Current::None) {
            *current = Current::Open(self.begin()?);
        }
        let Current::Open(segment) = &*current else { return Ok(false) };
        segment.append(record).map(|()| true)
    }

    fn current(&self) -> RwLockReadGuard<'_, Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) -> RwLockWriteGuard<'_, Current> {
        self.current.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Result<Segment> {
        fs::create_dir_all(&self.folder)?;
        let id = Uuid::now_v7();
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(self.path(id, ENDING))?;
        // Whoever sees it before it is held takes it for left over, finds nothing in it, and deletes it.
        if !is_held(&file)? {
            return Err(ErrorKind::ResourceBusy.into());
        }
        Ok(Segment { id, file, begun: Instant::now(), given: AtomicU64::new(0) })
    }

    /// Has the next record begin a segment, unless the one that is written is younger than `age`. `is_kept` says that it won't be
    /// reported soon: then it is made as short as it can be.
    pub(super) fn close(&self, age: Duration, is_kept: bool) {
        let closed = {
            let mut current = self.changed();
            if matches!(&*current, Current::Open(segment) if segment.begun.elapsed() < age) {
                return;
            }
            mem::take(&mut *current)
        };
        let Current::Open(segment) = closed else { return };
        if is_kept && let Err(error) = self.shorten(segment) {
            tracing::warn!(%error, "a segment of the usage journal stays as long as it is");
        }
    }

    /// Puts a segment's sums in its place, under its name.
    fn shorten(&self, Segment { id, mut file, .. }: Segment) -> Result<()> {
        let sums = sum(&mut file)?;
        let unfinished = self.path(id, UNFINISHED);
        let mut short = File::create(&unfinished)?;
        for (tenant, moved) in sums {
            short.write_all(&record::write(tenant, moved))?;
        }
        short.sync_data()?;
        fs::rename(unfinished, self.path(id, ENDING))
    }

    /// The segments that this process does not write, the oldest first.
    pub(super) fn others(&self) -> Result<Vec<Uuid>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<Uuid>().ok());
            if path.extension().is_some_and(|ending| ending == ENDING) {
                found.extend(id);
            }
        }
        // Looked at last: none of those found has become this process's own since.
        if let Current::Open(own) = &*self.current() {
            found.retain(|id| *id != own.id);
        }
        found.sort_unstable();
        Ok(found)
    }

    /// A segment with what it says, unless its process lives or somebody else reports it.
    pub(super) fn take(&self, id: Uuid) -> Result<Option<Taken>> {
        let mut file = match OpenOptions::new().read(true).write(true).open(self.path(id, ENDING)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !is_held(&file)? {
            return Ok(None);
        }
        let at = begun(id);
        let sums = sum(&mut file)?;
        let events = sums
            .into_iter()
            .flat_map(|(tenant, moved)| moved.events(tenant, at, move |event_type| event_id(id, tenant, event_type)));
        Ok(Some(Taken { events: events.collect(), id, _file: file }))
    }

    /// Deletes a segment that was reported. Where that fails it is reported again, under the same ids.
    pub(super) fn delete(&self, reported: &Taken) -> Result<()> {
        match fs::remove_file(self.path(reported.id, UNFINISHED)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::remove_file(self.path(reported.id, ENDING))
    }

    fn path(&self, segment: Uuid, ending: &str) -> PathBuf {
        self.folder.join(format!("{segment}.{ending}"))
    }
}

/// Takes the lock of a file if nobody has it, and says whether the file is ours now: one that another deleted meanwhile is not.
fn is_held(file: &File) -> Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(file.metadata()?.nlink() > 0),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// When the first record of a segment came, by its name.
fn begun(id: Uuid) -> Timestamp {
    let (seconds, nanoseconds) = id.get_timestamp().map_or((0, 0), |timestamp| timestamp.to_unix());
    let at = i64::try_from(seconds).ok().zip(i32::try_from(nanoseconds).ok());
    at.and_then(|(seconds, nanoseconds)| Timestamp::new(seconds, nanoseconds).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The id of the event of a type, the same each time (UUIDv5 in the segment's own name space).
fn event_id(segment: Uuid, tenant: TenantId, event_type: &str) -> Uuid {
    Uuid::new_v5(&segment, &[tenant.as_uuid().as_bytes(), event_type.as_bytes()].concat())
}

/// What a segment comes to, tenant by tenant.
fn sum(file: &mut File) -> Result<HashMap<TenantId, Moved>> {
    file.rewind()?;
    let (mut sums, mut reader) = (HashMap::<TenantId, Moved>::new(), BufReader::new(file));
    let (mut record, mut spoilt) = ([0; LENGTH], 0_u64);
    while is_filled(&mut reader, &mut record)? {
        match record::read(&record) {
            Some((tenant, moved)) => *sums.entry(tenant).or_default() += moved,
            // A place that was given away to a record that its process did not live to write.
            None if record == [0; LENGTH] => {}
            None => spoilt += 1,
        }
    }
    if spoilt > 0 {
        tracing::warn!(records = spoilt, "records of the usage journal are passed over: the machine has spoilt them");
    }
    Ok(sums)
}

/// Reads one record, if there is a whole one: a killed process may have left half of its last.
fn is_filled(reader: &mut impl Read, record: &mut [u8; LENGTH]) -> Result<bool> {
    match reader.read_exact(record) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Moved = Moved { requests: 1, received: 0, sent: 7 };

    fn own(journal: &Journal) -> Uuid {
        match &*journal.current() {
            Current::Open(segment) => segment.id,
            Current::None | Current::Refused => unreachable!("records were written"),
        }
    }

    fn told(taken: &Taken) -> Vec<(&'static str, i64)> {
        taken.events.iter().map(|event| (event.event_type, event.quantity)).collect()
    }

    #[test]
    fn a_segment_is_nobody_elses_while_its_process_lives_and_is_found_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let (tenant, own) = (TenantId::new(), Journal::new(folder.path().join("usage")));
        assert!(own.append(tenant, ONE) && own.append(tenant, ONE));
        assert!(own.others().unwrap().is_empty(), "what it writes itself");
        let other = Journal::new(folder.path().join("usage"));
        let found = other.others().unwrap();
        assert!(found.len() == 1 && other.take(found[0]).unwrap().is_none(), "its process lives");
        drop(own);
        let taken = other.take(found[0]).unwrap().unwrap();
        assert_eq!(told(&taken), [("api", 2), ("bandwidth_out", 14)]);
        assert!(Journal::new(folder.path().join("usage")).take(found[0]).unwrap().is_none(), "one reports it");
        other.delete(&taken).unwrap();
        drop(taken);
        assert!(other.others().unwrap().is_empty() && other.take(found[0]).unwrap().is_none());
    }

    #[test]
    fn half_a_record_is_passed_over_and_so_is_a_spoilt_one() {
        let folder = tempfile::tempdir().unwrap();
        let (tenant, journal) = (TenantId::new(), Journal::new(folder.path().to_owned()));
        let path = journal.path(Uuid::now_v7(), ENDING);
        let whole = record::write(tenant, ONE);
        fs::write(path, [&[0; LENGTH], &whole[..], &whole[..LENGTH - 1]].concat()).unwrap();
        let taken = journal.take(journal.others().unwrap()[0]).unwrap().unwrap();
        assert_eq!(told(&taken), [("api", 1), ("bandwidth_out", 7)]);
    }

    #[test]
    fn a_segment_has_the_same_events_each_time_also_when_it_was_shortened() {
        let folder = tempfile::tempdir().unwrap();
        let (tenants, journal) = ([TenantId::new(), TenantId::new()], Journal::new(folder.path().to_owned()));
        for number in 0..100 {
            assert!(journal.append(tenants[number % 2], ONE));
        }
        let events = |id| {
            let mut events = journal.take(id).unwrap().unwrap().events;
            events.sort_unstable_by_key(|event| event.id);
            events
        };
        let before = Instant::now();
        journal.close(Duration::from_secs(60), true);
        assert!(journal.others().unwrap().is_empty(), "it is younger than {:?}", before.elapsed());
        let id = own(&journal);
        // A copy, for this one is held.
        let copy = tempfile::tempdir().unwrap();
        fs::copy(journal.path(id, ENDING), copy.path().join(format!("{id}.{ENDING}"))).unwrap();
        let long = Journal::new(copy.path().to_owned());
        let mut first = long.take(id).unwrap().unwrap().events;
        first.sort_unstable_by_key(|event| event.id);
        journal.close(Duration::ZERO, true);
        assert_eq!(fs::metadata(journal.path(id, ENDING)).unwrap().len(), 2 * LENGTH as u64);
        assert_eq!((events(id), first.len()), (first.clone(), 4));
        let ids: std::collections::HashSet<Uuid> = first.iter().map(|event| event.id).collect();
        assert_eq!(ids.len(), 4);
        assert!(Timestamp::now().duration_since(first[0].at).as_secs() < 60, "{}", first[0].at);
    }

    #[test]
    fn threads_that_write_at_once_lose_nothing_also_while_segments_are_closed() {
        const EACH: usize = 20_000;
        let folder = tempfile::tempdir().unwrap();
        let (tenants, journal) = ([(); 4].map(|()| TenantId::new()), Journal::new(folder.path().to_owned()));
        let sent = std::thread::scope(|scope| {
            for tenant in tenants {
                let journal = &journal;
                scope.spawn(move || assert!((0..EACH).all(|_| journal.append(tenant, ONE))));
            }
            let (mut sent, begun) = (0, Instant::now());
            while sent < 4 * EACH as i64 {
                assert!(begun.elapsed() < Duration::from_secs(60), "{sent}");
                journal.close(Duration::ZERO, false);
                for id in journal.others().unwrap() {
                    let taken = journal.take(id).unwrap().unwrap();
                    sent += told(&taken).iter().filter(|(what, _)| *what == "api").map(|(_, times)| times).sum::<i64>();
                    journal.delete(&taken).unwrap();
                }
            }
            sent
        });
        assert_eq!(sent, 4 * EACH as i64);
    }

    #[test]
    fn a_disk_that_refuses_is_asked_again_in_the_next_period() {
        let folder = tempfile::tempdir().unwrap();
        let (tenant, place) = (TenantId::new(), folder.path().join("usage"));
        fs::write(&place, "no folder").unwrap();
        let journal = Journal::new(place.clone());
        assert!(!journal.append(tenant, ONE));
        fs::remove_file(&place).unwrap();
        assert!(!journal.append(tenant, ONE));
        journal.close(Duration::ZERO, false);
        assert!(journal.append(tenant, ONE));
    }
}
