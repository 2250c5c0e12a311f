//! Blobs that say nothing to whoever holds the store: sealed in frames, so that a part can be opened by itself.
//!
//! Each blob has a key of its own, derived from the content key and the blob's name, so no nonce is ever used twice. Its content
//! is cut into frames of 64 KiB, each with a tag of 16 bytes that also covers its place and whether it is the last: frames can't
//! be changed, reordered or left out. The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: "Online
//! Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015) over ChaCha20-Poly1305 (RFC 8439).

use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::KeyInit as _;
use chacha20poly1305::aead::generic_array::GenericArray;
use chacha20poly1305::aead::stream::{NewStream, StreamBE32, StreamPrimitive};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;

use crate::error::BlobError;
use crate::key::BlobKey;
use crate::read::{BlobBody, BlobMeta, BlobRead};

/// Content in a frame.
const FRAME: usize = 64 * 1024;
const TAG: usize = 16;
/// Up to here sealing is cheaper than handing it to another thread is worth.
const INLINE: usize = FRAME;

/// 256 random bits that a tenant's blobs are sealed under. Whoever destroys it destroys them all.
pub struct ContentKey(SecretBox<[u8; 32]>);

impl ContentKey {
    /// Makes a new key.
    ///
    /// # Panics
    /// Where the operating system gives no random bytes.
    pub fn generate() -> Self {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        Self::from_bytes(bytes)
    }

    /// The key of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(SecretBox::new(Box::new(bytes)))
    }

    /// Its bytes, to be sealed themselves before they are stored.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }

    /// What one blob is sealed with.
    fn cipher(&self, blob: BlobKey) -> Arc<StreamBE32<ChaCha20Poly1305>> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.expose()).expect("HMAC takes a key of any length");
        mac.update(b"rowhouse blob 1");
        mac.update(blob.tenant().as_bytes());
        mac.update(blob.object().as_bytes());
        let key: [u8; 32] = mac.finalize().into_bytes().into();
        // The key is this blob's alone, and a blob is written once: the frame's number is nonce enough.
        let cipher = ChaCha20Poly1305::new(&key.into());
        Arc::new(StreamBE32::from_aead(cipher, &GenericArray::default()))
    }
}

/// What a content of so many bytes takes in the store. Also an empty one has a frame.
pub fn sealed_size(size: u64) -> u64 {
    size + size.div_ceil(FRAME as u64).max(1) * TAG as u64
}

/// Where a part lies in its blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Inside,
    Last,
}

/// Seals a blob's parts in their order. All but the last are whole frames.
pub(crate) struct Sealer {
    cipher: Arc<StreamBE32<ChaCha20Poly1305>>,
    next: u32,
}

impl Sealer {
    pub(crate) fn new(key: &ContentKey, blob: BlobKey) -> Self {
        Self { cipher: key.cipher(blob), next: 0 }
    }

    pub(crate) async fn seal(&mut self, part: Bytes, place: Place) -> Result<Bytes, BlobError> {
        debug_assert!(place == Place::Last || part.len().is_multiple_of(FRAME), "only the last frame may be short");
        let (cipher, first) = (Arc::clone(&self.cipher), self.next);
        let frames = u32::try_from(part.len().div_ceil(FRAME)).map_err(too_long)?;
        self.next = first.checked_add(frames).ok_or_else(|| too_long("frames are counted in 32 bits"))?;
        if part.len() <= INLINE {
            return seal(&cipher, first, &part, place);
        }
        let sealing = tokio::task::spawn_blocking(move || seal(&cipher, first, &part, place));
        sealing.await.map_err(BlobError::unavailable)?
    }
}

fn too_long(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BlobError {
    BlobError::Full(source.into())
}

fn seal(cipher: &StreamBE32<ChaCha20Poly1305>, first: u32, part: &[u8], place: Place) -> Result<Bytes, BlobError> {
    let frames = part.len().div_ceil(FRAME).max(1);
    let mut sealed = BytesMut::with_capacity(part.len() + frames * TAG);
    for index in 0..frames {
        let frame = &part[index * FRAME..part.len().min((index + 1) * FRAME)];
        let number = u32::try_from(index).ok().and_then(|index| first.checked_add(index));
        let number = number.ok_or_else(|| too_long("frames are counted in 32 bits"))?;
        let is_last = place == Place::Last && index + 1 == frames;
        let frame = cipher.encrypt(number, is_last, frame).map_err(|_| too_long("a frame is too long to be sealed"))?;
        sealed.extend_from_slice(&frame);
    }
    Ok(sealed.freeze())
}

/// The frames that hold a part of a content.
pub(crate) struct Frames {
    /// Number of the first.
    first: u32,
    /// Where they lie in the object.
    pub(crate) stored: Range<u64>,
}

impl Frames {
    pub(crate) fn holding(range: &Range<u64>, size: u64) -> Self {
        let (frame, tag) = (FRAME as u64, TAG as u64);
        let first = range.start / frame;
        let end = range.end.div_ceil(frame).max(first + 1);
        let stored = first * (frame + tag)..(end * (frame + tag)).min(sealed_size(size));
        Self { first: u32::try_from(first).unwrap_or(u32::MAX), stored }
    }
}

/// Opens frames as they are read, and leaves away what lies around `range`.
pub(crate) fn open(read: BlobRead, size: u64, range: Range<u64>, frames: Frames, key: &ContentKey) -> BlobRead {
    let blob = read.meta.key;
    let opening = Opening {
        cipher: key.cipher(blob),
        blob,
        number: frames.first,
        last: u32::try_from(size.div_ceil(FRAME as u64).max(1) - 1).unwrap_or(u32::MAX),
        skip: usize::try_from(range.start % FRAME as u64).unwrap_or(0),
        left: range.end - range.start,
        source: read.body.boxed(),
        buffer: BytesMut::with_capacity(FRAME + TAG),
    };
    let chunks = stream::try_unfold(opening, |mut opening| async move {
        let chunk = opening.next().await?;
        Ok(chunk.map(|chunk| (chunk, opening)))
    });
    let expected = range.end - range.start;
    let meta = BlobMeta { size, ..read.meta };
    BlobRead { meta, range, body: BlobBody::new(chunks.boxed(), expected) }
}

struct Opening {
    cipher: Arc<StreamBE32<ChaCha20Poly1305>>,
    blob: BlobKey,
    /// Of the frame that comes next, and of the blob's last.
    number: u32,
    last: u32,
    /// Bytes of the first frame that lie before the wanted ones.
    skip: usize,
    /// Wanted bytes that are still to come.
    left: u64,
    source: BoxStream<'static, Result<Bytes, BlobError>>,
    buffer: BytesMut,
}

impl Opening {
    /// The wanted bytes of the next frame.
    async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        while self.number <= self.last && self.buffer.len() < FRAME + TAG {
            match self.source.next().await {
                Some(chunk) => self.buffer.extend_from_slice(&chunk?),
                None => break,
            }
        }
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let sealed = self.buffer.split_to(self.buffer.len().min(FRAME + TAG));
        let opened = self.cipher.decrypt(self.number, self.number == self.last, &sealed[..]);
        let mut frame = Bytes::from(opened.map_err(|_| BlobError::Unopenable { key: self.blob })?);
        self.number = self.number.saturating_add(1);
        frame.advance(std::mem::take(&mut self.skip).min(frame.len()));
        frame.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= frame.len() as u64;
        Ok(Some(frame))
    }
}
