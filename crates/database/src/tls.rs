//! Transport security of connections to PostgreSQL.

use std::sync::Arc;

use rowhouse_settings as settings;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_postgres::CancelToken;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::server::ServerTls;

/// How connections are secured.
#[derive(Clone)]
pub enum Tls {
    /// Not at all: loopback and private networks.
    Disabled,
    /// TLS with the server's certificate and name checked.
    Verified(MakeRustlsConnect),
}

impl Tls {
    /// Reads the authority's certificates that the settings name.
    ///
    /// # Errors
    /// Where the file can't be read or holds no certificate.
    pub fn from_settings(platform: &settings::Platform) -> std::io::Result<Self> {
        match platform.tls {
            settings::Tls::Disable => Ok(Self::Disabled),
            settings::Tls::VerifyFull => Self::trusting(&std::fs::read(&platform.ca_file)?),
        }
    }

    /// How connections to a cluster are secured: by the authority of its own row, or by the platform's where it has none.
    ///
    /// # Errors
    /// Where the row holds no certificate that can be read, or asks for one where the platform has none.
    pub fn of_server(server: &ServerTls, platform: &Self) -> std::io::Result<Self> {
        match (server, platform) {
            (ServerTls::Disabled, _) => Ok(Self::Disabled),
            (ServerTls::VerifyFull { authority: Some(authority) }, _) => Self::trusting(authority.as_bytes()),
            (ServerTls::VerifyFull { authority: None }, Self::Verified(_)) => Ok(platform.clone()),
            (ServerTls::VerifyFull { authority: None }, Self::Disabled) => {
                Err(std::io::Error::other("the cluster names no certificate authority, and the platform has none"))
            }
        }
    }

    /// TLS with one authority's certificates (PEM), one at least.
    fn trusting(authority: &[u8]) -> std::io::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority) {
            roots.add(certificate.map_err(std::io::Error::other)?).map_err(std::io::Error::other)?;
        }
        if roots.is_empty() {
            return Err(std::io::Error::other("no certificate in the authority's PEM"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(std::io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::Verified(MakeRustlsConnect::new(config)))
    }

    /// Requires TLS in a connection's settings where it is on, so that no server can talk us out of it.
    pub(crate) fn apply(&self, config: &mut tokio_postgres::Config) {
        config.ssl_mode(match self {
            Self::Disabled => tokio_postgres::config::SslMode::Disable,
            Self::Verified(_) => tokio_postgres::config::SslMode::Require,
        });
    }

    /// Asks the server to end what the connection is running; it may come too late.
    pub(crate) async fn cancel(&self, token: CancelToken) -> Result<(), tokio_postgres::Error> {
        match self {
            Self::Disabled => token.cancel_query(tokio_postgres::NoTls).await,
            Self::Verified(connector) => token.cancel_query(connector.clone()).await,
        }
    }
}
