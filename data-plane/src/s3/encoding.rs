//! `encoding-type=url`: names in lists as most clients ask for them, which decode what comes. Pure.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::EncodingType;
use s3s::{S3Result, s3_error};

/// All but the slash that could be read in more than one way: some clients take a plus for a space.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// How a list tells names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As they are.
    Plain,
    /// As in addresses.
    Url,
}

impl Encoding {
    /// Reads what is asked for.
    ///
    /// # Errors
    /// `InvalidArgument` where it is something else.
    pub(super) fn read(asked: Option<&EncodingType>) -> S3Result<Self> {
        match asked.map(EncodingType::as_str) {
            None => Ok(Self::Plain),
            Some(EncodingType::URL) => Ok(Self::Url),
            Some(_) => Err(s3_error!(InvalidArgument, "the encoding type is `url`")),
        }
    }

    /// What is said of it in the answer: clients decode nothing without it.
    pub(super) fn told(self) -> Option<EncodingType> {
        (self == Self::Url).then(|| EncodingType::from_static(EncodingType::URL))
    }

    /// A name, or a part of one.
    pub(super) fn text(self, text: String) -> String {
        match self {
            Self::Plain => text,
            Self::Url => utf8_percent_encode(&text, ENCODED).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_where_that_is_asked_for() {
        let url = Encoding::read(Some(&EncodingType::from_static("url"))).unwrap();
        assert_eq!(url.text("a b+c/p%20q ü.txt".to_owned()), "a%20b%2Bc/p%2520q%20%C3%BC.txt");
        assert_eq!(url.told().unwrap().as_str(), "url");
        let plain = Encoding::read(None).unwrap();
        assert_eq!(plain.text("a b+c".to_owned()), "a b+c");
        assert!(plain.told().is_none());
        assert!(Encoding::read(Some(&EncodingType::from_static("base64"))).is_err());
    }
}
