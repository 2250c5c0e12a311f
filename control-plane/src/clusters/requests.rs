//! Which requests about a cluster are valid.

use rowhouse_database::{Server, ServerTls, Tls};
use rowhouse_domain::ClusterId;
use rowhouse_problem::Result;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::link::{ClusterLink, Credential, SEAL};
use super::model::Cluster;
use crate::context::{Context, LOGIN};
use crate::input::{self, Complaints, present};

/// The body of a registration. The cluster was bootstrapped before.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateCluster {
    #[schema(example = "eu-1")]
    name: String,
    #[schema(example = "eu-1.db.example.com")]
    host: String,
    /// 5432, unless given.
    port: Option<u16>,
    /// The control plane's login there; `rowhouse_control`, unless given.
    login: Option<String>,
    /// Its password, which is kept encrypted and shown to nobody.
    // Never part of what a repetition of the request is told by.
    #[serde(skip_serializing)]
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<SecretString>,
    /// Instead of a password: the entry of `cluster_credentials` in the settings that has it. With neither, the password of
    /// `saas_platform` is used.
    credential_ref: Option<String>,
    /// `verify_full` (the default) or `disable`.
    tls: Option<String>,
    /// Certificates of the authority (PEM); that of the platform's settings, unless given.
    tls_ca: Option<String>,
    #[schema(value_type = Option<Object>)]
    labels: Option<Map<String, Value>>,
    /// Its share of new tenants; 100, unless given.
    weight: Option<i32>,
    /// Connections that the data plane is meant to hold; 80, unless given.
    budget: Option<i32>,
    /// Whether new tenants may be placed there; they may, unless it says otherwise.
    accepting: Option<bool>,
}

/// The body of a change; what is absent stays as it is.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchCluster {
    name: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    login: Option<String>,
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<SecretString>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    credential_ref: Option<Option<String>>,
    tls: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    tls_ca: Option<Option<String>>,
    #[schema(value_type = Option<Object>)]
    labels: Option<Map<String, Value>>,
    weight: Option<i32>,
    budget: Option<i32>,
    /// `false` drains it: tenants that are there stay, new ones go elsewhere.
    accepting: Option<bool>,
    /// `active`, `draining` or `retired`.
    status: Option<String>,
}

/// A cluster as an operator wants it.
pub(super) struct Wanted {
    pub(super) link: ClusterLink,
    pub(super) accepting: bool,
    pub(super) status: String,
    pub(super) weight: i32,
    pub(super) budget: i32,
    pub(super) labels: Value,
}

impl Wanted {
    /// Reads a registration, naming everything that is wrong with it.
    pub(super) fn parse(context: &Context, body: CreateCluster) -> Result<Self> {
        let id = ClusterId::new();
        let blank = Self {
            link: ClusterLink {
                name: String::new(),
                server: Server {
                    cluster: id,
                    host: String::new(),
                    port: 5432,
                    tls: ServerTls::VerifyFull { authority: None },
                },
                login: LOGIN.to_owned(),
                credential: Credential::Platform,
            },
            accepting: true,
            status: "active".to_owned(),
            weight: 100,
            budget: 80,
            labels: json!({}),
        };
        blank.patched(
            context,
            PatchCluster {
                name: Some(body.name),
                host: Some(body.host),
                port: body.port,
                login: body.login,
                password: body.password,
                credential_ref: body.credential_ref.map(Some),
                tls: body.tls,
                tls_ca: body.tls_ca.map(Some),
                labels: body.labels,
                weight: body.weight,
                budget: body.budget,
                accepting: body.accepting,
                status: None,
            },
        )
    }

    /// What a registered cluster is now.
    pub(super) fn of(cluster: &Cluster, link: ClusterLink) -> Self {
        Self {
            link,
            accepting: cluster.accepting,
            status: cluster.status.clone(),
            weight: cluster.weight,
            budget: cluster.budget,
            labels: cluster.labels.clone(),
        }
    }

    /// The same with what a change says.
    pub(super) fn patched(mut self, context: &Context, patch: PatchCluster) -> Result<Self> {
        let mut complaints = Complaints::default();
        let link = &mut self.link;
        set(&mut link.name, complaints.take_opt("/name", patch.name, |name| cluster_name(&name)));
        set(&mut link.server.host, complaints.take_opt("/host", patch.host, |host| input::text(&host, 253)));
        let port =
            complaints.take_opt("/port", patch.port, |port| if port > 0 { Ok(port) } else { Err("must not be 0") });
        set(&mut link.server.port, port);
        set(&mut link.login, complaints.take_opt("/login", patch.login, |login| login_name(&login)));
        let both = patch.password.is_some() && matches!(patch.credential_ref, Some(Some(_)));
        complaints.require("/credential_ref", !both, "must not be given together with a password");
        if let Some(password) = &patch.password {
            let sealed = context.master.seal(SEAL, link.server.cluster.as_uuid().as_bytes(), password);
            link.credential = Credential::Sealed(sealed);
        }
        match patch.credential_ref {
            Some(Some(name)) => {
                let known = context.settings.cluster_credentials.contains_key(&name);
                complaints.require(
                    "/credential_ref",
                    known,
                    "must name an entry of `cluster_credentials` in the settings",
                );
                link.credential = Credential::Settings(name);
            }
            Some(None) if patch.password.is_none() => link.credential = Credential::Platform,
            Some(None) | None => {}
        }
        let authority = match &link.server.tls {
            ServerTls::VerifyFull { authority } => authority.clone(),
            ServerTls::Disabled => None,
        };
        let authority = patch.tls_ca.unwrap_or(authority);
        let was_off = link.server.tls == ServerTls::Disabled;
        let mode = patch.tls.as_deref().unwrap_or(if was_off { "disable" } else { "verify_full" });
        complaints.require("/tls", ["disable", "verify_full"].contains(&mode), "must be `verify_full` or `disable`");
        link.server.tls = if mode == "disable" { ServerTls::Disabled } else { ServerTls::VerifyFull { authority } };
        let has_authority = Tls::of_server(&link.server.tls, &context.tls).is_ok();
        let complaint = "must be certificates in PEM; none is needed where the settings name `platform.ca_file`";
        complaints.require("/tls_ca", has_authority, complaint);
        if let Some(labels) = complaints.take_opt("/labels", patch.labels, input::object) {
            self.labels = labels;
        }
        set(&mut self.weight, complaints.take_opt("/weight", patch.weight, input::not_negative));
        let budget = complaints.take_opt("/budget", patch.budget, |budget| {
            if budget > 0 { Ok(budget) } else { Err("must be at least 1") }
        });
        set(&mut self.budget, budget);
        set(&mut self.accepting, patch.accepting);
        if let Some(status) = patch.status {
            let known = ["active", "draining", "retired"].contains(&status.as_str());
            complaints.require("/status", known, "must be `active`, `draining` or `retired`");
            self.status = status;
        }
        complaints.finish()?;
        Ok(self)
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn cluster_name(name: &str) -> Result<String, &'static str> {
    let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    let starts = name.bytes().next().is_some_and(|first| first.is_ascii_lowercase() || first.is_ascii_digit());
    if starts && name.len() <= 63 && name.bytes().all(is_fine) {
        return Ok(name.to_owned());
    }
    Err("must be 1 to 63 of a-z, 0-9, `-` and `_`, beginning with a letter or digit")
}

fn login_name(name: &str) -> Result<String, &'static str> {
    let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let starts = name.bytes().next().is_some_and(|first| first.is_ascii_lowercase() || first == b'_');
    if starts && name.len() <= 63 && name.bytes().all(is_fine) {
        return Ok(name.to_owned());
    }
    Err("must be the name of a role in a-z, 0-9 and `_`")
}
