//! rowhouse-problem
