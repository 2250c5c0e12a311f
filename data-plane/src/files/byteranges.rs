//! `multipart/byteranges` (RFC 9110 §14.6): several parts of a content in one body.

use std::ops::Range;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use rowhouse_problem::Result;
use uuid::Uuid;

use crate::contents::{Contents, Object};

/// Parts that are to be sent, and what stands between them.
pub(super) struct Byteranges {
    boundary: String,
    /// What stands before each part, and the part.
    parts: Vec<(Bytes, Range<u64>)>,
    end: Bytes,
}

impl Byteranges {
    pub(super) fn new(parts: Vec<Range<u64>>, size: u64, media_type: &str) -> Self {
        // Nobody who made the content can have known it.
        let boundary = Uuid::now_v7().simple().to_string();
        let head = |(index, range): (usize, Range<u64>)| {
            let before = if index == 0 { "" } else { "\r\n" };
            let (first, last) = (range.start, range.end - 1);
            let head = format!(
                "{before}--{boundary}\r\ncontent-type: {media_type}\r\ncontent-range: bytes {first}-{last}/{size}\r\n\r\n"
            );
            (Bytes::from(head), range)
        };
        let parts = parts.into_iter().enumerate().map(head).collect();
        let end = Bytes::from(format!("\r\n--{boundary}--\r\n"));
        Self { boundary, parts, end }
    }

    pub(super) fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// Bytes of the whole body.
    pub(super) fn length(&self) -> u64 {
        let parts = self.parts.iter().map(|(head, range)| head.len() as u64 + range.end - range.start);
        parts.sum::<u64>() + self.end.len() as u64
    }

    /// The body. The first part is opened at once, so that an object which can't be read is answered as such.
    pub(super) async fn body(
        self,
        contents: &Contents,
        object: &Object,
    ) -> Result<impl Stream<Item = Result<Bytes, std::io::Error>> + use<>> {
        let mut parts = self.parts.into_iter();
        let first = parts.next();
        let opened = match &first {
            Some((_, range)) => Some(contents.read(object, Some(range.clone())).await?),
            None => None,
        };
        let first = stream::iter(first.zip(opened)).flat_map(|((head, _), read)| {
            let body = read.body.map_err(std::io::Error::other);
            stream::once(std::future::ready(Ok(head))).chain(body)
        });
        let (contents, object) = (contents.clone(), object.clone());
        let others = stream::iter(parts).then(move |(head, range)| {
            let (contents, object) = (contents.clone(), object.clone());
            async move {
                let read = contents.read(&object, Some(range)).await.map_err(std::io::Error::other)?;
                let body = read.body.map_err(std::io::Error::other);
                Ok::<_, std::io::Error>(stream::once(std::future::ready(Ok(head))).chain(body))
            }
        });
        Ok(first.chain(others.try_flatten()).chain(stream::once(std::future::ready(Ok(self.end)))))
    }
}
