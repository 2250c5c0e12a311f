//! rowhouse-settings
