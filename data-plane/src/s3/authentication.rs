//! Who calls: a tenant key by its prefix, proven by a signature under its S3 secret.
//!
//! The secret is worked out from the master key and the key's id whenever it is needed. The key itself is looked up, decided
//! upon and counted as at the native door.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use hyper::{HeaderMap, Uri};
use rowhouse_domain::Scope;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Result};
use secrecy::ExposeSecret;
use url::form_urlencoded;

use super::failure::failure;
use crate::authentication::{key_of, vouched};
use crate::rate_limits::Standing;
use crate::state::AppState;
use crate::usage::Tally;

tokio::task_local! {
    /// The request that this task serves.
    pub(super) static VISIT: Arc<Visit>;
}

/// What is known of a request beside its own words.
pub(super) struct Visit {
    pub(super) address: IpAddr,
    pub(super) standing: Mutex<Standing>,
    /// What it moves for its tenant, once its signature was right.
    pub(super) tally: OnceLock<Arc<Tally>>,
    /// Whether it has been counted as a wrong one already.
    pub(super) is_counted: AtomicBool,
}

/// Looks access keys up, and decides what they may.
#[derive(Clone)]
pub(super) struct Keys(pub(super) AppState);

#[async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let visit = VISIT.get();
        let may_ask = || {
            let mut standing = visit.standing.lock().unwrap_or_else(PoisonError::into_inner);
            let is_counted = self.0.wrong_keys.may_ask(Some(visit.address), &mut standing)?;
            visit.is_counted.store(is_counted, Ordering::Relaxed);
            Ok(())
        };
        let key = key_of(&self.0, access_key, may_ask).await.map_err(failure)?;
        let key = key.ok_or_else(|| S3Error::new(S3ErrorCode::InvalidAccessKeyId))?;
        Ok(SecretKey::from(self.0.master.s3_secret(key).expose_secret()))
    }
}

#[async_trait]
impl S3Access for Keys {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(credentials) = context.credentials() else {
            return Err(S3Error::with_message(S3ErrorCode::AccessDenied, "Sign the request with a tenant key."));
        };
        refuse_unsigned(context.uri(), context.headers())?;
        let caller = vouched(&self.0, &credentials.access_key).await.map_err(failure)?;
        let visit = VISIT.get();
        visit.tally.get_or_init(|| self.0.meter.begin(caller.tenant())).count();
        caller.count(&mut visit.standing.lock().unwrap_or_else(PoisonError::into_inner)).map_err(failure)?;
        let operation = context.s3_op().name();
        let scope = scope(operation).ok_or_else(|| {
            let message = format!("{operation} is not offered here.");
            S3Error::with_message(S3ErrorCode::NotImplemented, message)
        })?;
        caller.require(scope).map_err(failure)?;
        let (tenant, organization, key) = (caller.tenant(), caller.organization(), caller.key());
        let span = tracing::Span::current();
        tracing::record_all!(span, s3.operation = operation, tenant.id = %tenant, org.id = %organization, key.id = %key);
        context.extensions_mut().insert(caller);
        Ok(())
    }
}

/// Refuses what the holder of a presigned address has added: `x-amz-copy-source` alone would make a put of one object a copy of any
/// other. The digest of the body, which only whoever sends it knows, may be added, as with S3.
fn refuse_unsigned(uri: &Uri, headers: &HeaderMap) -> S3Result<()> {
    let query: Vec<_> = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).collect();
    let value = |wanted: &str| query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_ref());
    if value("X-Amz-Signature").is_none() {
        return Ok(());
    }
    let signed = value("X-Amz-SignedHeaders").unwrap_or_default();
    let may_come = |name: &str| {
        !name.starts_with("x-amz-") || name == "x-amz-content-sha256" || signed.split(';').any(|signed| signed == name)
    };
    match headers.keys().find(|name| !may_come(name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let message = format!("The address does not sign {name}.");
            Err(S3Error::with_message(S3ErrorCode::AccessDenied, message))
        }
    }
}

/// What an operation takes; what is not among these is not offered.
fn scope(operation: &str) -> Option<Scope> {
    match operation {
        "ListBuckets"
        | "HeadBucket"
        | "GetBucketLocation"
        | "GetBucketVersioning"
        | "ListObjects"
        | "ListObjectsV2"
        | "ListObjectVersions"
        | "GetObject"
        | "HeadObject" => Some(Scope::ReadFiles),
        "PutObject"
        | "CreateBucket"
        | "CopyObject"
        | "UploadPartCopy"
        | "DeleteObject"
        | "DeleteObjects"
        | "CreateMultipartUpload"
        | "UploadPart"
        | "CompleteMultipartUpload"
        | "AbortMultipartUpload"
        | "ListParts"
        | "ListMultipartUploads" => Some(Scope::WriteFiles),
        "DeleteBucket" => Some(Scope::ManageWorkspaces),
        _ => None,
    }
}

/// A caller that copies reads as well.
pub(super) fn also_reads(caller: &crate::authentication::Caller) -> S3Result<()> {
    caller.require(Scope::ReadFiles).map_err(failure)
}
