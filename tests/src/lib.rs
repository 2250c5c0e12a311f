//! rowhouse-tests
