//! rowhouse-domain
