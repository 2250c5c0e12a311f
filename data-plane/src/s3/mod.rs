//! The S3-compatible door: workspaces are buckets, folders and files are keys, a tenant key is an access key.
//!
//! A port of its own, because S3 puts bucket names where our routes begin, and signs host and path. The protocol is the crate
//! `s3s`'; what it is asked to do here is done by the functions of the native door ([`files::doors`](crate::files::doors)).

mod authentication;
mod bucket;
mod buckets;
mod encoding;
mod failure;
mod further_operations;
mod headers;
mod integrity;
mod key;
mod listing;
mod metadata;
mod multipart;
mod objects;
mod operations;
mod server;
pub(crate) mod store;
mod version_list;

pub(crate) use server::S3Server;
