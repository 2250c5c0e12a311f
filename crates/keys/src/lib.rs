//! rowhouse-keys
