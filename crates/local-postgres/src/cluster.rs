//! One private cluster: made, started, adopted, stopped, deleted. All on one folder, one at a time (a lock).

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use crate::{
    Error, Installation,
    account::Account,
    error::IoContext,
    guard::Guard,
    initialize, launch,
    marker::{self, Marker},
    place::{LOCK_FILE, Place},
    postmaster::{self, Shutdown},
};

const SUPERUSER: &str = "postgres";
const HOST: &str = "127.0.0.1";
/// Somebody else starting the same cluster takes seconds; a stuck one should not hold us for ever.
const LOCK_PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);

/// What a power cut may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was committed.
    Durable,
    /// Everything: no `fsync`, and the cluster is deleted when the process that started it ends, however it ends.
    Throwaway,
}

/// What to do about a server that already runs on the same folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlreadyRunning {
    /// Use it as it is; whoever started it stops it.
    Adopt,
    /// Stop it and start it anew, with these options.
    Restart,
}

/// What kind of cluster is wanted.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster's folder: empty, absent, or one that this crate made.
    pub data_dir: PathBuf,
    /// Where the server listens; 0 picks a free port.
    pub port: u16,
    /// What a power cut may cost.
    pub durability: Durability,
    /// How many sessions the server lets in.
    pub max_connections: u16,
    /// Further server settings, name and value; they win over ours.
    pub settings: Vec<(String, String)>,
    /// What to do about a server that already runs there.
    pub already_running: AlreadyRunning,
}

impl Options {
    /// A durable cluster on this folder, on a free port, with room for 100 sessions, restarted where it runs.
    pub fn durable(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            port: 0,
            durability: Durability::Durable,
            max_connections: 100,
            settings: Vec::new(),
            already_running: AlreadyRunning::Restart,
        }
    }

    /// The same, and gone with this process. The folder should be this process's alone: it is deleted even when the process is killed.
    pub fn throwaway(data_dir: impl Into<PathBuf>) -> Self {
        Self { durability: Durability::Throwaway, ..Self::durable(data_dir) }
    }
}

/// How to connect as the cluster's superuser.
#[derive(Clone)]
pub struct Superuser {
    /// The server's address, always loopback.
    pub host: &'static str,
    /// The server's port.
    pub port: u16,
    /// The superuser's name.
    pub user: &'static str,
    /// The superuser's password.
    pub password: String,
}

impl Superuser {
    /// The same for tokio-postgres, with the database `postgres`.
    pub fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host(self.host).port(self.port).user(self.user).password(&self.password).dbname("postgres");
        config
    }

    /// The same as a URL. The password is hexadecimal, so nothing needs escaping but what is in `database`.
    pub fn url(&self, database: &str) -> String {
        let Self { host, port, user, password } = self;
        format!("postgres://{user}:{password}@{host}:{port}/{database}")
    }
}

impl fmt::Debug for Superuser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Superuser({}@{}:{})", self.user, self.host, self.port)
    }
}

/// A private cluster whose server runs.
#[derive(Debug)]
pub struct Cluster {
    place: Place,
    superuser: Superuser,
    durability: Durability,
    created: bool,
    pid: i32,
    /// None for an adopted server.
    server: Option<Child>,
    guard: Option<Guard>,
}

impl Cluster {
    /// Makes the cluster where there is none, starts its server and waits until it answers.
    ///
    /// What a killed predecessor left behind does no harm; a folder that is not ours and a port that is taken are errors.
    pub async fn start(installation: &Installation, options: Options) -> Result<Self, Error> {
        let home = absolute(&options.data_dir)?;
        Marker::find(&home)?;
        fs::create_dir_all(&home).trying("make", &home)?;
        let home = home.canonicalize().trying("resolve", &home)?;
        let _lock = lock(&home).await?;
        let mut marker = match Marker::find(&home)? {
            Some(marker) => marker,
            None => Marker::new(&home),
        };
        marker.write(&home)?;
        let account = Account::for_server()?;
        let place = Place::prepare(&home, &marker, account)?;
        let password = marker::ensure_password(&home)?;
        let superuser = Superuser { host: HOST, port: options.port, user: SUPERUSER, password };
        if let Some(adopted) = Self::adopt(&place, &superuser, &options).await? {
            return Ok(adopted);
        }
        let created = initialize::ensure(installation, &place.data, account, &superuser.password, options.durability)?;
        let cluster = Self::launch(installation, place, account, &options, superuser, created).await?;
        marker.port = cluster.superuser.port;
        marker.write(&home)?;
        Ok(cluster)
    }

    async fn launch(
        installation: &Installation,
        place: Place,
        account: Option<Account>,
        options: &Options,
        mut superuser: Superuser,
        created: bool,
    ) -> Result<Self, Error> {
        let server = launch::launch(installation, &place, account, options, &mut superuser).await?;
        let pid = i32::try_from(server.id()).expect("the system's process numbers are far smaller");
        let mut cluster =
            Self { place, superuser, durability: options.durability, created, pid, server: Some(server), guard: None };
        if options.durability == Durability::Throwaway {
            cluster.guard = Some(Guard::watch(&cluster.place, pid)?);
        }
        Ok(cluster)
    }

    /// Takes over the server that runs there, or stops it where it isn't the one that is wanted.
    async fn adopt(place: &Place, superuser: &Superuser, options: &Options) -> Result<Option<Self>, Error> {
        let Some(running) = postmaster::find(&place.data) else { return Ok(None) };
        let fits = options.port == 0 || options.port == running.port;
        if options.already_running == AlreadyRunning::Restart || !fits {
            postmaster::stop(&place.data, Shutdown::Fast).await?;
            return Ok(None);
        }
        let superuser = Superuser { port: running.port, ..superuser.clone() };
        launch::ready(&superuser, &place.data, Instant::now() + Duration::from_secs(60), || None).await?;
        let place = place.clone();
        let durability = options.durability;
        Ok(Some(Self { place, superuser, durability, created: false, pid: running.pid, server: None, guard: None }))
    }

    /// How to connect as superuser.
    pub fn superuser(&self) -> &Superuser {
        &self.superuser
    }

    /// The same for tokio-postgres.
    pub fn superuser_config(&self) -> tokio_postgres::Config {
        self.superuser.config()
    }

    /// Where the server listens.
    pub fn port(&self) -> u16 {
        self.superuser.port
    }

    /// The server's process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The server's log.
    pub fn log_file(&self) -> PathBuf {
        self.place.log()
    }

    /// PostgreSQL's own data directory.
    pub fn pgdata(&self) -> &Path {
        &self.place.data
    }

    /// Whether this call made the cluster, which then holds nothing but what `initdb` made.
    pub fn was_created(&self) -> bool {
        self.created
    }

    /// Whether the server is somebody else's, taken over as it was.
    pub fn was_adopted(&self) -> bool {
        self.server.is_none()
    }

    /// Whether the server is still there.
    pub fn is_running(&self) -> bool {
        postmaster::find(&self.place.data).is_some_and(|running| running.pid == self.pid)
    }

    /// Stops the server, adopted or not, and keeps its files.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.end(Shutdown::Fast).await
    }

    /// Stops the server and deletes the cluster.
    pub async fn destroy(mut self) -> Result<(), Error> {
        self.end(Shutdown::Immediate).await?;
        self.place.delete()
    }

    /// Lets the server run on after this process; a later start can adopt it.
    pub fn detach(mut self) {
        self.server = None;
        if let Some(guard) = self.guard.take() {
            guard.release();
        }
    }

    /// Stops and deletes the cluster of a folder, running or not. Says whether there was one; a folder that is not ours is an error.
    pub async fn delete_at(data_dir: &Path) -> Result<bool, Error> {
        let home = absolute(data_dir)?;
        if Marker::find(&home)?.is_none() {
            return Ok(false);
        }
        let home = home.canonicalize().trying("resolve", &home)?;
        let _lock = lock(&home).await?;
        let place = Place::existing(&home);
        postmaster::stop(&place.data, Shutdown::Immediate).await?;
        place.delete()?;
        Ok(true)
    }

    /// Stops the server of a folder, whoever started it, and keeps its files. A folder that is not ours is an error.
    pub async fn stop_at(data_dir: &Path) -> Result<(), Error> {
        let home = absolute(data_dir)?;
        if Marker::find(&home)?.is_none() {
            return Ok(());
        }
        let home = home.canonicalize().trying("resolve", &home)?;
        let _lock = lock(&home).await?;
        postmaster::stop(&Place::existing(&home).data, Shutdown::Fast).await
    }

    async fn end(&mut self, shutdown: Shutdown) -> Result<(), Error> {
        postmaster::stop(&self.place.data, shutdown).await?;
        if let Some(mut server) = self.server.take() {
            server.wait().trying("wait for", "postgres")?;
        }
        if let Some(guard) = self.guard.take() {
            guard.release();
        }
        Ok(())
    }
}

impl Drop for Cluster {
    /// A throwaway server that was started here does not stay behind, nor do its files.
    fn drop(&mut self) {
        if self.durability == Durability::Durable {
            return;
        }
        let Some(mut server) = self.server.take() else { return };
        postmaster::stop_at(&self.place.data);
        let _ = server.wait();
        if let Err(error) = self.place.delete() {
            tracing::warn!(%error, "a throwaway cluster's files stay behind");
        }
        if let Some(guard) = self.guard.take() {
            guard.release();
        }
    }
}

/// Relative to where we are, even where the folder does not exist yet.
fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).trying("resolve", path)
}

/// Waits for its turn with a folder. The lock ends with the file, so with the process too.
async fn lock(home: &Path) -> Result<File, Error> {
    let path = home.join(LOCK_FILE);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).trying("open", &path)?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error).trying("lock", path),
        }
    }
}
