//! Choosing and checking ports on the loopback address.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// The wanted port, or a free one for 0.
///
/// # Errors
/// Where something else listens on the wanted port.
pub(crate) fn choose(wanted: u16, what: &str, flag: &str) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted))
        .with_context(|| format!("port {wanted} for the {what} is in use; choose another with {flag}"))?;
    Ok(listener.local_addr()?.port())
}
