//! The platform's server, reached as a control plane reaches it: for what needs no service to be up.

use std::path::Path;

use anyhow::{Result, anyhow};
use rowhouse_database::{AdminConnection, Described, ServerAddress, Tls, quote_ident};
use uuid::Uuid;

/// Of the control plane, where the settings name none.
const LOGIN: &str = "rowhouse_control";

/// What a database like `saas_platform` is made of before its migrations.
pub(super) const EMPTY: &str = "template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C.UTF-8'";

/// Where it is and how to log in.
pub(super) struct Server {
    address: ServerAddress,
    tls: Tls,
    /// The name of `saas_platform`.
    pub(super) platform: String,
}

impl Server {
    /// The one that a control plane's settings name.
    pub(super) fn of(settings: Option<&Path>) -> Result<Self> {
        let settings = rowhouse_settings::load(settings)?.platform;
        let tls = Tls::from_settings(&settings)?;
        let user = if settings.user.is_empty() { LOGIN.to_owned() } else { settings.user };
        let address = ServerAddress { host: settings.host, port: settings.port, user, password: settings.password };
        Ok(Self { address, tls, platform: settings.database })
    }

    /// A connection to a schema of one of its databases, as the owner.
    pub(super) async fn open(&self, database: &str, path: &[&str]) -> Result<AdminConnection> {
        let path: Vec<String> = path.iter().map(|schema| quote_ident(schema)).collect();
        let opened = async {
            let admin = AdminConnection::open(&self.address, database, &self.tls).await?;
            let sql = format!("set role rowhouse_owner; set search_path = {}, pg_temp", path.join(", "));
            admin.run(&sql).await.context("becoming the owner")?;
            Ok(admin)
        };
        opened.await.map_err(|error: rowhouse_problem::Error| anyhow!("{database}: {}", error.chain()))
    }

    /// Makes a database to look at and drop, of a template.
    pub(super) async fn scratch(&self, admin: &AdminConnection, prefix: &str, template: &str) -> Result<Scratch> {
        let scratch = Scratch { name: format!("rowhouse_{prefix}_{}", Uuid::now_v7().simple()) };
        let name = quote_ident(&scratch.name);
        for sql in [
            format!("create database {name} template {template} strategy wal_log"),
            format!("revoke all on database {name} from public"),
            format!("grant connect on database {name} to {LOGIN}"),
        ] {
            if let Err(error) = admin.run(&sql).await.context("making a database to compare with") {
                scratch.drop(admin).await?;
                return Err(said(error));
            }
        }
        Ok(scratch)
    }
}

/// A database for as long as somebody looks at it.
pub(super) struct Scratch {
    pub(super) name: String,
}

impl Scratch {
    /// To be called whatever came of the look.
    pub(super) async fn drop(self, admin: &AdminConnection) -> Result<()> {
        let dropped = format!("drop database if exists {}", quote_ident(&self.name));
        admin.run(&dropped).await.context("dropping what was compared with").map_err(said)
    }
}

/// With its causes.
pub(super) fn said(error: rowhouse_problem::Error) -> anyhow::Error {
    anyhow!(error.chain().to_string())
}
