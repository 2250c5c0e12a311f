//! rowhouse-control-plane
