//! A cluster's address, as its row in `saas_platform` says.

use rowhouse_domain::ClusterId;
use rowhouse_problem::{Error, Result};
use rowhouse_settings::{self as settings, Pooler};
use tokio_postgres::Row;

use crate::sql::Columns;

/// Where a cluster listens and how connections to it are secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The cluster.
    pub cluster: ClusterId,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether its certificate is checked, and by whose authority.
    pub tls: ServerTls,
}

/// How connections to one cluster are secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerTls {
    /// In the clear: loopback and private networks only.
    Disabled,
    /// The certificate and the name are checked.
    VerifyFull {
        /// Certificates of the authority (PEM); those of `platform.ca_file` where there are none.
        authority: Option<String>,
    },
}

impl Server {
    /// Where connections to it go: to itself, or to the pooler that stands before it.
    pub(crate) fn through(&self, poolers: &[Pooler]) -> Self {
        let address = format!("{}:{}", self.host, self.port);
        let Some(pooler) = poolers.iter().find(|pooler| pooler.server == address) else { return self.clone() };
        let tls = match (pooler.tls, &self.tls) {
            (settings::Tls::Disable, _) => ServerTls::Disabled,
            (settings::Tls::VerifyFull, ServerTls::VerifyFull { authority }) => {
                ServerTls::VerifyFull { authority: authority.clone() }
            }
            (settings::Tls::VerifyFull, ServerTls::Disabled) => ServerTls::VerifyFull { authority: None },
        };
        Self { cluster: self.cluster, host: pooler.host.clone(), port: pooler.port, tls }
    }

    /// Reads the columns `cluster_id`, `host`, `port`, `tls_mode` (as text) and `tls_ca`.
    ///
    /// # Errors
    /// Internal, where the row does not have them.
    pub fn from_row(row: &Row) -> Result<Self> {
        let port: i32 = row.column("port")?;
        let mode: String = row.column("tls_mode")?;
        Ok(Self {
            cluster: row.column("cluster_id")?,
            host: row.column("host")?,
            port: u16::try_from(port).map_err(Error::internal)?,
            tls: match mode.as_str() {
                "disable" => ServerTls::Disabled,
                "verify_full" => ServerTls::VerifyFull { authority: row.column("tls_ca")? },
                other => return Err(Error::internal(format!("no TLS mode {other:?}"))),
            },
        })
    }
}
