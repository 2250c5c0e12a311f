//! rowhouse-web
