//! rowhouse-cli
