//! What S3 does and `s3s-fs` does not: to it folders are objects, it ignores the conditions of a read, and fails where
//! more bytes are asked for from the end than there are.

use std::path::PathBuf;
use std::time::SystemTime;

use md5::{Digest, Md5};
use s3s::access::S3Access;
use s3s::dto::{ETag, ETagCondition, GetObjectInput, HeadObjectInput, Range, Timestamp};
use s3s::{S3Request, S3Result, s3_error};

/// Looks at each read before `s3s-fs` does.
pub(crate) struct S3Semantics {
    pub(crate) root: PathBuf,
}

#[async_trait::async_trait]
impl S3Access for S3Semantics {
    async fn get_object(&self, request: &mut S3Request<GetObjectInput>) -> S3Result<()> {
        let input = &mut request.input;
        let file = self.read(&input.bucket, &input.key)?;
        if let Some(Range::Suffix { length }) = input.range
            && std::fs::metadata(&file.path).is_ok_and(|metadata| metadata.len() < length)
        {
            input.range = Some(Range::Int { first: 0, last: None });
        }
        file.check(
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
            input.if_modified_since.as_ref(),
            input.if_unmodified_since.as_ref(),
        )
    }

    async fn head_object(&self, request: &mut S3Request<HeadObjectInput>) -> S3Result<()> {
        let input = &request.input;
        self.read(&input.bucket, &input.key)?.check(
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
            input.if_modified_since.as_ref(),
            input.if_unmodified_since.as_ref(),
        )
    }
}

impl S3Semantics {
    fn read(&self, bucket: &str, key: &str) -> S3Result<File> {
        let path = self.root.join(bucket).join(key);
        if path.is_dir() { Err(s3_error!(NoSuchKey)) } else { Ok(File { path }) }
    }
}

struct File {
    path: PathBuf,
}

impl File {
    fn check(
        &self,
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
        if_modified_since: Option<&Timestamp>,
        if_unmodified_since: Option<&Timestamp>,
    ) -> S3Result<()> {
        let holds = |condition: &ETagCondition| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(tag) => tag.strong_cmp(&self.e_tag()),
        };
        let is_newer = |than: &Timestamp| self.modified() > *than;
        if if_match.is_some_and(|condition| !holds(condition)) || if_unmodified_since.is_some_and(is_newer) {
            return Err(s3_error!(PreconditionFailed));
        }
        if if_none_match.is_some_and(holds) || if_modified_since.is_some_and(|than| !is_newer(than)) {
            return Err(s3_error!(NotModified));
        }
        Ok(())
    }

    /// That of an object which was put at once.
    fn e_tag(&self) -> ETag {
        ETag::Strong(hex::encode(Md5::digest(std::fs::read(&self.path).unwrap())))
    }

    /// In whole seconds, like the header.
    fn modified(&self) -> Timestamp {
        let modified = std::fs::metadata(&self.path).unwrap().modified().unwrap();
        let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        (SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(since.as_secs())).into()
    }
}
