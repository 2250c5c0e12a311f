//! The headers of tus.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, HttpResponseBuilder};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rowhouse_domain::UploadId;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{ApiError, parse_id};

use crate::uploads::Session;

/// The version of the protocol.
pub(super) const VERSION: &str = "1.0.0";
/// The extensions.
pub(super) const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination,concatenation";
/// What a body that is a part of an upload says that it is.
pub(super) const OFFSET_TYPE: &str = "application/offset+octet-stream";

/// A request that speaks our version.
#[derive(Debug)]
pub struct Resumable;

impl FromRequest for Resumable {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(match text(request, "tus-resumable") {
            Some(VERSION) => Ok(Self),
            Some(_) | None => Err(Error::new(Code::TusVersion, format!("Send `Tus-Resumable: {VERSION}`.")).into()),
        })
    }
}

/// A header's text.
pub(super) fn text<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// A header's number of bytes.
pub(super) fn bytes(request: &HttpRequest, name: &str) -> Result<Option<i64>> {
    let Some(text) = text(request, name) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| *number >= 0 && text.bytes().all(|byte| byte.is_ascii_digit()));
    let detail = || Error::new(Code::MalformedRequest, format!("`{name}` is no number of bytes."));
    number.map(Some).ok_or_else(detail)
}

/// What `Upload-Metadata` says, as names and texts.
pub(super) fn metadata(header: &str) -> Result<Vec<(String, String)>> {
    let malformed = || {
        let detail = "`Upload-Metadata` is names, each with a space and base64 of UTF-8, with commas between them.";
        Error::new(Code::MalformedRequest, detail)
    };
    let pairs = header.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let value = STANDARD.decode(value.trim()).map_err(|_| malformed())?;
            Ok((name.to_owned(), String::from_utf8(value).map_err(|_| malformed())?))
        })
        .collect()
}

/// What `Upload-Concat` says of an upload.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Concat {
    /// It becomes a file by itself.
    None,
    /// It becomes a piece of another.
    Partial,
    /// It is these, one after the other.
    Final(Vec<UploadId>),
}

impl Concat {
    /// Reads the header.
    pub(super) fn read(header: Option<&str>) -> Result<Self> {
        let malformed = || {
            Error::new(Code::MalformedRequest, "`Upload-Concat` is `partial`, or `final;` with the partial uploads.")
        };
        match header.map(str::trim) {
            None => Ok(Self::None),
            Some("partial") => Ok(Self::Partial),
            Some(text) => {
                let urls = text.strip_prefix("final;").ok_or_else(malformed)?;
                // Absolute or not: what leads to one of our uploads ends with its id.
                let ids = urls.split_whitespace().map(|url| parse_id(url.rsplit('/').next().unwrap_or(url)));
                let ids = ids.collect::<Result<Vec<UploadId>>>()?;
                if ids.is_empty() { Err(malformed()) } else { Ok(Self::Final(ids)) }
            }
        }
    }
}

/// Above this many pieces they are not listed: clients and proxies bound what all headers may take, the tightest to 4 KiB.
const MOST_LISTED: usize = 50;

/// What `Upload-Concat` said when an upload was begun, its pieces by their addresses here; nothing where they are many.
pub(super) fn concatenation(session: &Session) -> Option<String> {
    if session.new.name.is_none() {
        return Some("partial".to_owned());
    }
    let pieces: Vec<String> = session.new.pieces.iter().map(|piece| format!("/v1/uploads/{piece}")).collect();
    if pieces.is_empty() || pieces.len() > MOST_LISTED { None } else { Some(format!("final;{}", pieces.join(" "))) }
}

/// Tells how an upload stands.
pub(super) fn tell(answer: &mut HttpResponseBuilder, session: &Session) {
    answer.insert_header(("tus-resumable", VERSION));
    answer.insert_header(("upload-offset", session.received.to_string()));
    if session.new.length.is_none() {
        answer.insert_header(("upload-defer-length", "1"));
    }
    if session.made.is_none() {
        let seconds = u64::try_from(session.expires_at.as_second()).unwrap_or(0);
        let end = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        answer.insert_header(("upload-expires", httpdate::fmt_http_date(end)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read() {
        let read = metadata("filename cmVwb3J0LnR4dA==, is_confidential,filetype dGV4dC9wbGFpbg==").unwrap();
        let expected = [("filename", "report.txt"), ("is_confidential", ""), ("filetype", "text/plain")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read, expected);
        assert!(metadata("filename %").is_err() && metadata("filename /w==").is_err());
    }

    #[test]
    fn concatenations_are_read() {
        assert_eq!(Concat::read(None).unwrap(), Concat::None);
        assert_eq!(Concat::read(Some("partial")).unwrap(), Concat::Partial);
        let (a, b) = (UploadId::new(), UploadId::new());
        let header = format!("final;/v1/uploads/{a} https://example.org/v1/uploads/{b}");
        assert_eq!(Concat::read(Some(&header)).unwrap(), Concat::Final(vec![a, b]));
        for text in ["final;", "final", "other", "final;/v1/uploads/x"] {
            assert!(Concat::read(Some(text)).is_err(), "{text}");
        }
    }
}
