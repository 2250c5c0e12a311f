//! rowhouse-data-plane
