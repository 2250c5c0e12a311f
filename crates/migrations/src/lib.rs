//! rowhouse-migrations
