//! rowhouse-telemetry
