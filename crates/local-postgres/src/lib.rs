//! rowhouse-local-postgres
