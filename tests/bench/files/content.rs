//! Contents that no file system can compress and no store can share: each is different, and costs its sender a copy.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Bytes that are sent at once.
pub(super) const PIECE: usize = 256 * 1024;
/// Random bytes that all contents are cut from.
const NOISE: usize = 4 * 1024 * 1024;

/// What contents are made of.
pub(super) struct Noise(Vec<u8>);

impl Noise {
    pub(super) fn new() -> Self {
        let mut noise = vec![0; NOISE];
        StdRng::seed_from_u64(1).fill_bytes(&mut noise);
        Self(noise)
    }

    /// Calls `take` with the pieces of a content of `size` bytes. Every number gives another content, and no two pieces of one
    /// are the same.
    pub(super) fn pieces<E>(
        &self,
        number: u64,
        size: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut piece = vec![0; PIECE.min(size)];
        let mut sent = 0;
        while sent < size {
            let length = piece.len().min(size - sent);
            let start = sent % (NOISE - PIECE);
            piece[..length].copy_from_slice(&self.0[start..start + length]);
            let stamp = [number.to_le_bytes(), (sent as u64).to_le_bytes()].concat();
            let stamped = stamp.len().min(length);
            piece[..stamped].copy_from_slice(&stamp[..stamped]);
            take(&piece[..length])?;
            sent += length;
        }
        Ok(())
    }
}
