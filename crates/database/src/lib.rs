//! rowhouse-database
