//! Checksums that a client states of a content: in headers before it, or in trailers behind it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1};
use s3s::dto::Checksum;
use s3s::{S3Error, S3ErrorCode, S3Result, TrailingHeaders};

/// What must hold of a content, worked out while it comes. SHA-256 is worked out anyway, and compared there.
#[derive(Default)]
pub(super) struct Integrity {
    hasher: ChecksumHasher,
    stated: Checksum,
    trailers: Option<TrailingHeaders>,
    md5: Option<(String, Md5)>,
}

impl Integrity {
    /// With what the headers say; of trailers they say which will come.
    pub(super) fn new(stated: Checksum, headers: &http::HeaderMap, trailers: Option<TrailingHeaders>) -> Self {
        let announced = headers.get_all("x-amz-trailer").iter().filter_map(|value| value.to_str().ok());
        let announced = announced.collect::<Vec<_>>().join(",").to_ascii_lowercase();
        let is_wanted = |name: &str, header: &Option<String>| header.is_some() || announced.contains(name);
        let hasher = ChecksumHasher {
            crc32: is_wanted("x-amz-checksum-crc32", &stated.checksum_crc32).then(Crc32::new),
            crc32c: is_wanted("x-amz-checksum-crc32c", &stated.checksum_crc32c).then(Crc32c::new),
            crc64nvme: is_wanted("x-amz-checksum-crc64nvme", &stated.checksum_crc64nvme).then(Crc64Nvme::new),
            sha1: is_wanted("x-amz-checksum-sha1", &stated.checksum_sha1).then(Sha1::new),
            sha256: is_wanted("x-amz-checksum-sha256", &stated.checksum_sha256).then(s3s::crypto::Sha256::new),
        };
        Self { hasher, stated, trailers, md5: None }
    }

    /// And with `Content-MD5`.
    pub(super) fn with_md5(mut self, stated: Option<String>) -> Self {
        self.md5 = stated.map(|stated| (stated, Md5::new()));
        self
    }

    /// Takes a piece of the content in.
    pub(super) fn update(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
        if let Some((_, md5)) = &mut self.md5 {
            md5.update(piece);
        }
    }

    /// Compares, and gives what was compared for the answer.
    ///
    /// # Errors
    /// `BadDigest`.
    pub(super) fn check(self) -> S3Result<Checksum> {
        let mut stated = self.stated;
        if let Some(trailers) = self.trailers.and_then(|trailers| trailers.take()) {
            let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            for (name, field) in [
                ("x-amz-checksum-crc32", &mut stated.checksum_crc32),
                ("x-amz-checksum-crc32c", &mut stated.checksum_crc32c),
                ("x-amz-checksum-crc64nvme", &mut stated.checksum_crc64nvme),
                ("x-amz-checksum-sha1", &mut stated.checksum_sha1),
                ("x-amz-checksum-sha256", &mut stated.checksum_sha256),
            ] {
                *field = text(name).or_else(|| field.take());
            }
        }
        let found = self.hasher.finalize();
        if self.md5.is_some_and(|(stated, md5)| STANDARD.encode(md5.finalize()) != stated.trim()) {
            return Err(wrong());
        }
        for (stated, found) in [
            (&stated.checksum_crc32, &found.checksum_crc32),
            (&stated.checksum_crc32c, &found.checksum_crc32c),
            (&stated.checksum_crc64nvme, &found.checksum_crc64nvme),
            (&stated.checksum_sha1, &found.checksum_sha1),
            (&stated.checksum_sha256, &found.checksum_sha256),
        ] {
            if stated.is_some() && stated != found {
                return Err(wrong());
            }
        }
        Ok(stated)
    }
}

fn wrong() -> S3Error {
    S3Error::with_message(S3ErrorCode::BadDigest, "What came does not have the stated checksum. Send it again.")
}
