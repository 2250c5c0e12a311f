//! Resumable uploads as tus 1.0 has them (<https://tus.io/protocols/resumable-upload>), with the extensions creation,
//! creation-with-upload, expiration, checksum, termination and concatenation.

mod checksum;
mod create;
mod headers;
pub mod middleware;
mod receive;
pub mod routes;
mod untold;
