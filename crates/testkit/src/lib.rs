//! rowhouse-testkit
