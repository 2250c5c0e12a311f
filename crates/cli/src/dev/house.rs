//! A private house: cluster, secrets, settings and the two services.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rowhouse_database::{BootstrapPasswords, Purpose, ServerAddress, Tls, bootstrap};
use rowhouse_domain::RateLimit;
use rowhouse_local_postgres::{Cluster, Installation, Options};
use rowhouse_settings::RateLimits;
use secrecy::SecretString;
use serde::Serialize;
use tokio::process::Command;

use super::port::choose;
use super::secrets::{Secrets, write_private};
use super::service::{Service, end_leftover, program};
use super::{Place, interrupted};

/// What the data plane keeps over a restart: the keys that it knows, and which replica it is.
const REMEMBERED_KEYS: &str = "remembered-keys";
const REPLICA: &str = "replica";
const USAGE: &str = "usage";

/// Everything that `rowhouse dev` runs.
pub(crate) struct House {
    pub(crate) control_plane: String,
    pub(crate) data_plane: String,
    /// Where the data plane shows its pools.
    pub(crate) admin: String,
    /// The S3-compatible door.
    pub(crate) s3: String,
    pub(crate) postgres: String,
    pub(crate) admin_key: String,
    pub(crate) secrets_file: PathBuf,
    /// Whether this start made the admin key.
    pub(crate) is_new: bool,
    cluster: Cluster,
    control: Service,
    data: Service,
    /// Held for as long as the house runs: one at a time a folder.
    _lock: File,
}

impl House {
    /// Starts everything, making what is missing. Where that fails or is interrupted, what was started is stopped again.
    pub(crate) async fn start(place: &Place) -> Result<Self> {
        let folder = prepare(&place.data_dir)?;
        let lock = take_lock(&folder)?;
        // Services that outlived a killed `rowhouse dev` hold their ports.
        end_leftovers(&folder).await?;
        let started = tokio::select! {
            started = Self::start_all(place, &folder, lock) => started,
            () = interrupted() => Err(anyhow::anyhow!("interrupted")),
        };
        if started.is_err() {
            // Why it did not start matters more than why something could not be stopped after that.
            if let Err(error) = end_leftovers(&folder).await {
                eprintln!("{error:#}");
            }
            if let Err(error) = Cluster::stop_at(&folder.join("postgres")).await {
                eprintln!("{error:#}");
            }
        }
        started
    }

    async fn start_all(place: &Place, folder: &Path, lock: File) -> Result<Self> {
        let installation =
            Installation::find_complete().context("run `cargo xtask setup` to install what is missing")?;

        let cluster = start_cluster(&installation, folder, place).await?;
        let secrets_file = folder.join("secrets.toml");
        let mut secrets = Secrets::load_or_make(&secrets_file)?;
        prepare_cluster(&cluster, &secrets).await?;
        say(&format!("PostgreSQL {} on port {}", installation.version(), cluster.port()));

        let control_port = choose(place.control_port, "control plane", "--control-port")?;
        let data_port = choose(place.data_port, "data plane", "--data-port")?;
        let admin_port = choose(place.admin_port(), "admin port", "--admin-port")?;
        let s3_port = choose(place.s3_port(), "S3 door", "--s3-port")?;
        let (control, data) = (Ports::Control(control_port), Ports::Data { port: data_port, admin_port, s3_port });
        let control_settings = write_settings(folder, &cluster, &secrets, &control)?;
        let data_settings = write_settings(folder, &cluster, &secrets, &data)?;

        let (control_plane, data_plane) =
            (format!("http://127.0.0.1:{control_port}"), format!("http://127.0.0.1:{data_port}"));
        let mut control = Service::start("control-plane", &control_settings, folder)?;
        control.ready(&control_plane).await?;
        say(&format!("control plane at {control_plane}"));
        let mut data = Service::start("data-plane", &data_settings, folder)?;
        data.ready(&data_plane).await?;
        say(&format!("data plane at {data_plane}"));

        let is_new = secrets.admin_key.is_empty();
        if is_new {
            secrets.admin_key = issue_admin_key(&control_settings).await?;
            secrets.save(&secrets_file)?;
        }
        Ok(Self {
            control_plane,
            data_plane,
            admin: format!("http://127.0.0.1:{admin_port}"),
            s3: format!("http://127.0.0.1:{s3_port}"),
            postgres: cluster.superuser().url("saas_platform"),
            admin_key: secrets.admin_key,
            secrets_file,
            is_new,
            cluster,
            control,
            data,
            _lock: lock,
        })
    }

    /// Completes when a service ends by itself, which none should.
    pub(crate) async fn service_ended(&mut self) -> anyhow::Error {
        tokio::select! {
            error = self.control.ended() => error,
            error = self.data.ended() => error,
        }
    }

    /// Stops the services, then the cluster.
    pub(crate) async fn stop(self) -> Result<()> {
        say("stopping");
        let services = [self.data.stop().await, self.control.stop().await];
        self.cluster.stop().await?;
        services.into_iter().collect()
    }
}

async fn end_leftovers(folder: &Path) -> Result<()> {
    for name in ["control-plane", "data-plane"] {
        end_leftover(folder, name).await?;
    }
    Ok(())
}

fn say(text: &str) {
    eprintln!("✓ {text}");
}

/// Makes the folder, readable by its owner alone, and gives its full path.
fn prepare(folder: &Path) -> Result<PathBuf> {
    DirBuilder::new()
        .recursive(true)
        // The server's account must be able to pass through; the files in it have modes of their own.
        .mode(0o711)
        .create(folder)
        .with_context(|| format!("making {}", folder.display()))?;
    folder.canonicalize().with_context(|| format!("resolving {}", folder.display()))
}

fn take_lock(folder: &Path) -> Result<File> {
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("dev.lock"))?;
    if lock.try_lock().is_err() {
        bail!(
            "a `rowhouse dev` or demo already runs in {}; stop it first, or choose another --data-dir",
            folder.display()
        );
    }
    Ok(lock)
}

async fn start_cluster(installation: &Installation, folder: &Path, place: &Place) -> Result<Cluster> {
    let options = Options {
        port: place.pg_port,
        max_connections: place.pg_connections,
        ..Options::durable(folder.join("postgres"))
    };
    Ok(Cluster::start(installation, options).await?)
}

/// Roles, base database and saas_platform; running it again changes nothing but the passwords.
async fn prepare_cluster(cluster: &Cluster, secrets: &Secrets) -> Result<()> {
    let superuser = cluster.superuser();
    let address = ServerAddress {
        host: superuser.host.to_owned(),
        port: superuser.port,
        user: superuser.user.to_owned(),
        password: SecretString::from(superuser.password.clone()),
    };
    let passwords = BootstrapPasswords {
        control: SecretString::from(secrets.control_password.clone()),
        data: SecretString::from(secrets.data_password.clone()),
    };
    bootstrap(&address, &Tls::Disabled, &passwords, Purpose::PlatformAndTenants)
        .await
        .map_err(|error| anyhow::anyhow!(error.chain()))
}

#[derive(Serialize)]
struct Settings<'a> {
    platform: Platform<'a>,
    keys: Keys<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    control_plane: Option<Server>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_plane: Option<Server>,
    blobs: Blobs,
    auth: Auth,
    rate_limits: RateLimits,
    pools: Pools,
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<Server>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s3: Option<S3>,
}

#[derive(Serialize)]
struct S3 {
    enabled: bool,
    port: u16,
}

/// Where a service listens.
enum Ports {
    Control(u16),
    Data { port: u16, admin_port: u16, s3_port: u16 },
}

#[derive(Serialize)]
struct Auth {
    snapshot_file: PathBuf,
}

#[derive(Serialize)]
struct Pools {
    replica_file: PathBuf,
}

#[derive(Serialize)]
struct Usage {
    journal: PathBuf,
}

#[derive(Serialize)]
struct Platform<'a> {
    port: u16,
    password: &'a str,
}

#[derive(Serialize)]
struct Keys<'a> {
    master_key: &'a str,
}

#[derive(Serialize)]
struct Server {
    port: u16,
}

#[derive(Serialize)]
struct Blobs {
    root: PathBuf,
}

/// Writes the settings file of a service; it holds secrets, so its owner alone can read it.
fn write_settings(folder: &Path, cluster: &Cluster, secrets: &Secrets, ports: &Ports) -> Result<PathBuf> {
    let (service, password, [control_plane, data_plane, admin], s3_port) = match *ports {
        Ports::Control(port) => ("control-plane", &secrets.control_password, [Some(port), None, None], None),
        Ports::Data { port, admin_port, s3_port } => {
            ("data-plane", &secrets.data_password, [None, Some(port), Some(admin_port)], Some(s3_port))
        }
    };
    let server = |port: Option<u16>| port.map(|port| Server { port });
    let settings = Settings {
        platform: Platform { port: cluster.port(), password },
        keys: Keys { master_key: &secrets.master_key },
        control_plane: server(control_plane),
        data_plane: server(data_plane),
        blobs: Blobs { root: folder.join("blobs") },
        auth: Auth { snapshot_file: folder.join(REMEMBERED_KEYS) },
        // A developer's scripts and benches are as many callers as one address and a tenant or two can be.
        rate_limits: RateLimits::all(RateLimit::NONE),
        pools: Pools { replica_file: folder.join(REPLICA) },
        usage: Usage { journal: folder.join(USAGE) },
        admin: server(admin),
        s3: s3_port.map(|port| S3 { enabled: true, port }),
    };
    let file = folder.join(format!("{service}.toml"));
    write_private(&file, &toml::to_string(&settings)?)?;
    Ok(file)
}

async fn issue_admin_key(settings: &Path) -> Result<String> {
    let output = Command::new(program("control-plane")?)
        .arg("--settings")
        .arg(settings)
        .args(["admin-key", "--name", "development"])
        .output()
        .await
        .context("issuing the admin key")?;
    if !output.status.success() {
        bail!("the control plane issued no admin key: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Deletes the folder's cluster and everything else in it. Says whether there was anything.
pub(crate) async fn demolish(folder: &Path) -> Result<bool> {
    if !folder.exists() {
        return Ok(false);
    }
    let folder = folder.canonicalize()?;
    let lock = take_lock(&folder)?;
    let existed = Cluster::delete_at(&folder.join("postgres")).await?;
    let settings = ["secrets.toml", "control-plane.toml", "data-plane.toml"];
    let state = ["control-plane.pid", "data-plane.pid", REMEMBERED_KEYS, REPLICA];
    for name in settings.into_iter().chain(state) {
        let _ = fs::remove_file(folder.join(name));
    }
    for own in ["blobs", USAGE] {
        let own = folder.join(own);
        if own.exists() {
            fs::remove_dir_all(&own).with_context(|| format!("deleting {}", own.display()))?;
        }
    }
    drop(lock);
    let _ = fs::remove_file(folder.join("dev.lock"));
    // Stays where somebody keeps other things in it.
    let _ = fs::remove_dir(&folder);
    Ok(existed)
}
