//! The good end: all parts in their order, read into an upload like any other.
//!
//! A task of its own does it, one for an upload in this process: gigabytes take longer than many a client waits. Whoever asks
//! again meanwhile waits for the same task, and whoever asks later finds it done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, Stream, TryStreamExt, stream};
use rowhouse_blobs::{BlobBody, BlobKey};
use rowhouse_domain::UploadId;
use rowhouse_problem::{Error, Result};
use sha2::{Digest, Sha256};
use tracing::Instrument;

use super::{Session, Stored, store};
use crate::authentication::Caller;
use crate::contents::{Contents, damaged};
use crate::files::doors::{self, MadeFile, Put};
use crate::state::AppState;

/// The version that an upload has become, and its SHA-256.
pub(crate) type Made = (i32, Vec<u8>);

/// An upload and the objects that it is made of: another choice of parts is another task.
type Key = (UploadId, Vec<BlobKey>);
type Outcome = Shared<BoxFuture<'static, Result<Made, Arc<Error>>>>;

/// What this process is putting together. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Assemblies(Arc<Mutex<HashMap<Key, Outcome>>>);

impl Assemblies {
    fn running(&self) -> MutexGuard<'_, HashMap<Key, Outcome>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the file. The transaction that records it ends the upload as well; on an error the upload stays as it was.
pub(crate) async fn assemble(
    state: &AppState,
    caller: &Caller,
    session: &Session,
    parts: &[Stored],
    put: Put,
) -> Result<Made> {
    let key: Key = (session.new.id, parts.iter().map(|part| part.object.key).collect());
    let outcome = {
        let mut running = state.assemblies.running();
        match running.get(&key) {
            Some(outcome) => outcome.clone(),
            None => {
                let work = Work { session: session.clone(), parts: parts.to_vec(), put };
                let entry = Entry { assemblies: state.assemblies.clone(), key: key.clone() };
                let outcome = start(state.clone(), caller.clone(), work, entry);
                running.insert(key, outcome.clone());
                outcome
            }
        }
    };
    outcome.await.map_err(|error| Arc::try_unwrap(error).unwrap_or_else(|error| error.repeated()))
}

/// What is to be put together.
struct Work {
    session: Session,
    parts: Vec<Stored>,
    put: Put,
}

/// Dropped, the task is over, however it ended.
struct Entry {
    assemblies: Assemblies,
    key: Key,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.assemblies.running().remove(&self.key);
    }
}

fn start(state: AppState, caller: Caller, work: Work, entry: Entry) -> Outcome {
    let task = async move {
        let _entry = entry;
        run(&state, &caller, work).await.map_err(Arc::new)
    };
    let task = tokio::spawn(task.in_current_span());
    task.map(|ended| ended.unwrap_or_else(|error| Err(Arc::new(Error::internal(error))))).boxed().shared()
}

async fn run(state: &AppState, caller: &Caller, work: Work) -> Result<Made> {
    let Work { session, parts, put } = work;
    if let Some(made) = made(state, caller, &session).await? {
        // A task that has just ended made it, after this asker had looked.
        return Ok(made);
    }
    match put_together(state, caller, &session, parts, put).await {
        // Another process was asked at the same time, and was quicker.
        Err(error) => made(state, caller, &session).await.ok().flatten().ok_or(error),
        done => done,
    }
}

/// What the upload has become by now, where another process was asked at the same time.
pub(crate) async fn made(state: &AppState, caller: &Caller, session: &Session) -> Result<Option<Made>> {
    let tenant = caller.connection(state).await?;
    Ok(store::find(&tenant, session.new.id, session.new.protocol).await?.made)
}

async fn put_together(
    state: &AppState,
    caller: &Caller,
    session: &Session,
    parts: Vec<Stored>,
    put: Put,
) -> Result<Made> {
    let length: i64 = parts.iter().map(|part| part.size).sum();
    let length = u64::try_from(length).map_err(Error::internal)?;
    let put = Put { length: Some(length), ends: Some((session.new.id, session.reservation)), ..put };
    let mut upload = doors::begin(state, caller, put).await?;
    upload.receive(contents_of(state.contents.clone(), parts)).await?;
    let answer = upload.finish().await?;
    let made: MadeFile = serde_json::from_slice(&answer.body).map_err(Error::internal)?;
    Ok((made.version, hex::decode(made.sha256).map_err(Error::internal)?))
}

/// All parts one after the other: the next is opened when the one before it has been read.
fn contents_of(contents: Contents, parts: Vec<Stored>) -> impl Stream<Item = Result<Bytes>> + Send {
    stream::iter(parts.into_iter().map(Ok::<_, Error>))
        .and_then(move |part| {
            let contents = contents.clone();
            async move {
                let read = contents.read(&part.object, None).await.map_err(Error::from)?;
                Ok(checked(read.body, part))
            }
        })
        .try_flatten()
}

/// A part as it comes from the store. What has rotted there since it came must not become a file whose hash is that of the rot.
fn checked(body: BlobBody, part: Stored) -> impl Stream<Item = Result<Bytes>> + Send {
    stream::try_unfold((body, Sha256::new(), part), |(mut body, mut hasher, part)| async move {
        if let Some(chunk) = body.try_next().await.map_err(doors::store_failure)? {
            hasher.update(&chunk);
            return Ok(Some((chunk, (body, hasher, part))));
        }
        if hasher.finalize().as_slice() == part.sha256 { Ok(None) } else { Err(damaged(part.object.key)) }
    })
}
