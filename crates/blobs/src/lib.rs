//! rowhouse-blobs
