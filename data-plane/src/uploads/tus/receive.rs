//! The body of a `PATCH`: kept as far as it comes, whatever ends it.
//!
//! A task of its own takes it in, because the handler is dropped where its client goes away, and what had come until then is
//! what the client will go on behind.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use rowhouse_problem::{Code, Error, Result};
use tokio::sync::mpsc;
use tracing::Instrument;

use super::checksum::Checksum;
use crate::authentication::Caller;
use crate::files::doors::{UploadPlace, check_size};
use crate::state::AppState;
use crate::uploads::parts::{Slot, cover, reserve, uncover};
use crate::uploads::{Part, Session, store};

/// What is recorded at a time: so much a crash of this process can cost.
const PIECE: u64 = 16 * 1024 * 1024;
/// What is reserved at a time for a body of unknown length.
const STEP: u64 = 8 * 1024 * 1024;
/// Chunks on their way from the socket to the store.
const CHUNKS: usize = 4;

/// A body on its way.
enum Word {
    Chunk(Bytes),
    /// It has come whole.
    End,
}

/// A body that is to be taken in.
pub(super) struct Body<S> {
    /// How much it says that it is.
    pub(super) length: Option<u64>,
    pub(super) checksum: Option<Checksum>,
    pub(super) chunks: S,
}

/// Takes a body in behind all that has come, and says how the upload stands then.
///
/// # Errors
/// What went wrong with the body is told after what came of it is kept.
pub(super) async fn receive(
    state: &AppState,
    caller: &Caller,
    session: Session,
    place: UploadPlace,
    body: Body<impl Stream<Item = Result<Bytes>>>,
) -> Result<Session> {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let Body { length, checksum, chunks: body } = body;
    let (state, caller) = (state.clone(), caller.clone());
    let mut keeper = Keeper { state, caller, session, room: 0, checksum, part: None, _place: place };
    keeper.expect(length.unwrap_or(0)).await?;
    let kept = tokio::spawn(keeper.keep(receiver).in_current_span());
    let broken = forward(body, sender).await;
    let kept = kept.await.map_err(Error::internal)?;
    match broken {
        Some(error) => kept.and(Err(error)),
        None => kept,
    }
}

/// Hands the body over. Says what broke it.
async fn forward(body: impl Stream<Item = Result<Bytes>>, sender: mpsc::Sender<Word>) -> Option<Error> {
    let mut body = std::pin::pin!(body);
    while let Some(chunk) = body.next().await {
        match chunk {
            // Where nobody takes it any more, its taker says why.
            Ok(chunk) => sender.send(Word::Chunk(chunk)).await.ok()?,
            Err(error) => return Some(error),
        }
    }
    let _ = sender.send(Word::End).await;
    None
}

struct Keeper {
    state: AppState,
    caller: Caller,
    session: Session,
    /// How many bytes the whole upload has room for, as far as this is asked: one whose length is known has room for that.
    room: u64,
    checksum: Option<Checksum>,
    part: Option<(Part, i32)>,
    _place: UploadPlace,
}

impl Keeper {
    /// Has room for so many bytes more than have come, before the first of them does.
    async fn expect(&mut self, bytes: u64) -> Result<()> {
        if self.session.new.length.is_some() {
            return Ok(());
        }
        let end = self.session.received.unsigned_abs().saturating_add(bytes);
        check_size(&self.state, end)?;
        self.room = cover(&self.state, &self.caller, &self.session, end).await?;
        Ok(())
    }

    async fn keep(mut self, words: mpsc::Receiver<Word>) -> Result<Session> {
        match self.take_all(words).await {
            Ok(()) => Ok(self.session),
            Err(error) => {
                if let Some((part, _)) = self.part.take()
                    && let Err(error) = part.discard().await
                {
                    // Its intent is found when it is past its time.
                    tracing::warn!(error = error.chain(), "a part could not be discarded");
                }
                Err(error)
            }
        }
    }

    async fn take_all(&mut self, mut words: mpsc::Receiver<Word>) -> Result<()> {
        let mut number = {
            let tenant = self.caller.connection(&self.state).await?;
            let parts = store::parts(&tenant, self.session.new.id).await?;
            parts.last().map_or(1, |last| last.number + 1)
        };
        let mut is_whole = false;
        while let Some(word) = words.recv().await {
            match word {
                Word::Chunk(chunk) => {
                    self.take(chunk, number).await?;
                    // A checksum is of the whole body: until it is known to be right, nothing is kept.
                    if self.checksum.is_none() && self.part.as_ref().is_some_and(|(part, _)| part.size() >= PIECE) {
                        self.record().await?;
                        number += 1;
                    }
                }
                Word::End => is_whole = true,
            }
        }
        if let Some(checksum) = self.checksum.take() {
            let checked = if is_whole { checksum.check() } else { Err(ended_early()) };
            checked?;
        }
        self.record().await?;
        reserve(&self.state, &self.caller, &self.session, 0).await.map(|_| ())
    }

    async fn take(&mut self, chunk: Bytes, number: i32) -> Result<()> {
        let coming = self.part.as_ref().map_or(0, |(part, _)| part.size()) + chunk.len() as u64;
        let coming = i64::try_from(coming).map_err(Error::internal)?;
        if self.session.new.length.is_some_and(|length| self.session.received + coming > length) {
            let detail = "The body goes beyond the upload's length.";
            return Err(Error::new(Code::TooLarge, detail).with("limit", self.session.new.length));
        }
        if self.session.new.length.is_none() {
            self.make_room((self.session.received + coming).unsigned_abs()).await?;
        }
        if let Some(checksum) = &mut self.checksum {
            checksum.update(&chunk);
        }
        if self.part.is_none() {
            self.part = Some((Part::begin(&self.state, &self.caller).await?, number));
        }
        let (part, _) = self.part.as_mut().expect("it was begun");
        part.write(chunk).await
    }

    /// Has room for so many bytes of the whole upload: a step at a time; near a limit just what is needed, so that it stays exact.
    async fn make_room(&mut self, size: u64) -> Result<()> {
        if size <= self.room {
            return Ok(());
        }
        check_size(&self.state, size)?;
        let step = (size + STEP).min(self.state.settings.uploads.max_bytes);
        self.room = match cover(&self.state, &self.caller, &self.session, step).await {
            Err(error) if error.code() == Code::QuotaExceeded => {
                cover(&self.state, &self.caller, &self.session, size).await?
            }
            covered => covered?,
        };
        Ok(())
    }

    /// Makes what has come the upload's.
    async fn record(&mut self) -> Result<()> {
        let Some((part, number)) = self.part.take() else { return Ok(()) };
        let slot = Slot::Next { offset: self.session.received, number };
        match part.finish(self.session.new.id, slot).await {
            Ok(stored) => {
                self.session.received += stored.size;
                Ok(())
            }
            Err(error) => {
                uncover(&self.state, &self.caller, &self.session).await;
                Err(error)
            }
        }
    }
}

fn ended_early() -> Error {
    Error::new(Code::MalformedRequest, "The body ended early.")
}
