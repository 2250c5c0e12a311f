//! From settings to a running service: in `main` and, in the same process, in tests.

use std::any::Any;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use rowhouse_database::{Columns, Described, Sql};
use rowhouse_problem::{Error, Result};
use rowhouse_settings::Settings;
use rowhouse_web::{Readiness, RequestSpan, finish, no_such_route, operational};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tracing_actix_web::TracingLogger;

use crate::s3::S3Server;
use crate::state::AppState;
use crate::uploads::tus::middleware::override_method;
use crate::usage::{Last, count_sent};
use crate::work::{self, WorkerHandle};
use crate::{admin, openapi, routes, scrub, serving, strays};

/// The platform schema that this build's queries are written for. A newer one will do, as long as it says so.
const PLATFORM_SCHEMA: i32 = 13;
/// A file that an upload has not touched for this long is nobody's: `uploads.idle_timeout` is far shorter. Looked for as often.
const UNFINISHED: Duration = Duration::from_secs(60 * 60);

/// How long a probe waits for `saas_platform`; those who probe wait about as long.
const PLATFORM_PATIENCE: Duration = Duration::from_millis(1_500);

/// Whether the service stops on SIGTERM and SIGINT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signals {
    /// It stops: what a process of its own does.
    Obeyed,
    /// It does not: whoever holds a [`StopHandle`] stops it, as tests do.
    Ignored,
}

/// The service, listening and not serving yet.
pub struct Application {
    server: Server,
    port: u16,
    admin_port: u16,
    s3: Option<S3Server>,
    state: AppState,
    worker: WorkerHandle,
    tasks: JoinSet<()>,
}

impl Application {
    /// Binds the port (0: any free one) and starts what runs behind the requests. PostgreSQL need not be up yet.
    ///
    /// # Errors
    /// Where a setting can't be used, the port is taken, or `saas_platform` answers and has a schema that can't be served from.
    pub async fn build(settings: Settings, signals: Signals) -> Result<Self> {
        // Installed before anything counts.
        rowhouse_telemetry::metrics();
        let state = AppState::new(settings)?;
        refuse_other_schemas(&state).await?;
        let address = &state.settings.data_plane;
        let listener = TcpListener::bind((address.host.as_str(), address.port)).await.map_err(Error::internal)?;
        let listener = listener.into_std().map_err(Error::internal)?;
        let port = listener.local_addr().map_err(Error::internal)?.port();
        let server = serve(listener, state.clone())?;
        let s3 = S3Server::start(&state).await?;
        let worker = work::start(state.work()?, state.nudge.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(rowhouse_telemetry::keep_metrics());
        let (admin_server, admin_port) = admin::serve(&state)?;
        tasks.spawn(async move {
            if let Err(error) = admin_server.await {
                tracing::error!(%error, "the admin port is closed");
            }
        });
        let pools = state.tenants.clone();
        tasks.spawn(async move { pools.keep_tidy().await });
        let (pools, platform) = (state.tenants.clone(), state.platform.clone());
        tasks.spawn(async move { pools.keep_leases(&platform, crate::replica::remember).await });
        state.keys.recall();
        tasks.spawn(state.keys.clone().keep_saved());
        tasks.spawn(state.keys.clone().listen(state.settings.platform.clone()));
        tasks.spawn(state.keys.clone().keep_tidy());
        tasks.spawn(Arc::clone(&state.canaries).watch(state.platform.clone()));
        if let Some(replica) = state.tenants.replica() {
            tasks.spawn(serving::tell(state.platform.clone(), replica, port));
        }
        tasks.spawn(Arc::clone(&state.meter).run(state.platform.clone()));
        tasks.spawn(sweep_unfinished(state.clone()));
        tasks.spawn(state.blocks.clone().keep(state.clone()));
        tasks.spawn(scrub::run(state.work()?));
        tasks.spawn(strays::run(state.work()?));
        if signals == Signals::Obeyed {
            tasks.spawn(obey_signals(StopHandle(server.handle()))?);
        }
        tracing::info!(port, admin_port, "the data plane listens");
        Ok(Self { server, port, admin_port, s3, state, worker, tasks })
    }

    /// The port that the service listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port for those who run the service.
    pub fn admin_port(&self) -> u16 {
        self.admin_port
    }

    /// The port of the S3-compatible door, where it is open.
    pub fn s3_port(&self) -> Option<u16> {
        self.s3.as_ref().map(S3Server::port)
    }

    /// Something to stop the service with, while [`run_until_stopped`](Self::run_until_stopped) runs.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle(self.server.handle())
    }

    /// Serves until it is stopped; then requests in flight are finished, and so is the work that was begun behind them.
    ///
    /// # Errors
    /// Where the server can't run.
    pub async fn run_until_stopped(self) -> std::io::Result<()> {
        let Self { server, s3, state, worker, mut tasks, .. } = self;
        let served = server.await;
        let patience = state.settings.data_plane.shutdown_timeout;
        if let Some(s3) = s3 {
            s3.stop(patience).await;
        }
        if tokio::time::timeout(patience, worker.stop()).await.is_err() {
            tracing::warn!("jobs are left to whoever comes next: they took too long");
        }
        tasks.shutdown().await;
        if let Err(error) = state.meter.report(&state.platform, Last::Yes).await {
            tracing::warn!(error = error.chain(), "the last usage of the API was not reported");
        }
        if tokio::time::timeout(patience, state.blocks.end(&state)).await.is_err() {
            tracing::warn!("blocks of quota run out by themselves");
        }
        state.keys.save().await;
        if let Err(error) = state.tenants.end(&state.platform).await {
            tracing::warn!(error = error.chain(), "leases of connections run out by themselves");
        }
        state.platform.close();
        tracing::info!("the data plane has stopped");
        served
    }
}

/// Stops a running service.
#[derive(Clone)]
pub struct StopHandle(ServerHandle);

impl StopHandle {
    /// Takes no new requests, finishes those in flight, and returns when that is done.
    pub async fn stop(&self) {
        self.0.stop(true).await;
    }
}

/// Waits for either signal. The server's own way would end requests in flight on SIGINT.
fn obey_signals(stop: StopHandle) -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::internal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::internal)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: requests in flight are finished");
        stop.stop().await;
    })
}

fn serve(listener: std::net::TcpListener, state: AppState) -> Result<Server> {
    let settings = state.settings.data_plane.clone();
    let idle_timeout = state.settings.uploads.idle_timeout;
    let server = HttpServer::new(move || {
        let state = state.clone();
        App::new()
            .app_data(web::Data::new(state.clone()))
            // Called once for each worker, on its own thread.
            .app_data(web::Data::new(state.tenants.drive_here()))
            .configure(routes::configure)
            .configure(|config| operational(config, readiness(&state), openapi::document()))
            .default_service(web::to(no_such_route))
            .wrap(from_fn(finish))
            .wrap(from_fn(override_method))
            .wrap(from_fn(count_sent))
            .wrap(TracingLogger::<RequestSpan>::new())
    })
    // An answer's head and body are two writes: without this a small body waits 40 ms for the head's acknowledgement.
    .tcp_nodelay(true)
    // A client that went away is noticed at its end of stream and its handler dropped: a slow query is cancelled and an
    // upload's traces go at once, instead of the handler running on for nobody. Handlers are written to bear it: a
    // connection in use is cancelled and destroyed, an upload's traces are removed on drop, and what must not stop
    // half-way (`files::finalize`) runs in a task of its own. A client that shuts its sending side down early on purpose
    // gets no answer; HTTP/1.1 clients don't.
    .h1_allow_half_closed(false)
    .on_connect(move |connection, _| bound_writes(connection, idle_timeout))
    .shutdown_timeout(settings.shutdown_timeout.as_secs().max(1))
    .disable_signals();
    let server = if settings.workers > 0 { server.workers(settings.workers) } else { server };
    Ok(server.listen(listener).map_err(Error::internal)?.run())
}

/// Ends a connection whose other side takes none of what is sent for so long: a download that nobody reads would otherwise
/// keep its handler for good. The clock is the kernel's, and runs only while sent bytes wait to be taken.
fn bound_writes(connection: &dyn Any, idle_timeout: Duration) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
    let milliseconds = u32::try_from(idle_timeout.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, milliseconds) {
        tracing::debug!(%error, "a connection's writes are not bounded");
    }
}

/// Ready when keys can be looked up and contents be read.
fn readiness(state: &AppState) -> Readiness {
    let state = state.clone();
    Readiness::new(move || {
        let state = state.clone();
        async move {
            check_keys(&state).await?;
            state.contents.check().await.map_err(Error::unavailable)
        }
    })
}

/// Whether keys can be told apart, by `saas_platform` or from memory: a replica that others could stand in for no better
/// must not be taken out of service.
async fn check_keys(state: &AppState) -> Result<()> {
    match tokio::time::timeout(PLATFORM_PATIENCE, platform_schema(state)).await {
        // No memory helps against a platform that answers and is of another time.
        Ok(Ok(schema)) => schema.check(),
        _ if state.keys.can_do_without_the_platform() => Ok(()),
        Ok(Err(error)) => Err(error),
        Err(elapsed) => Err(Error::unavailable(elapsed)),
    }
}

/// What `saas_platform` says of its schema.
#[derive(Debug, Clone, Copy)]
struct PlatformSchema {
    version: i32,
    /// The oldest release that can serve from it, by its newest migration.
    serves_from: i32,
}

const PLATFORM_VERSION: &str = "select coalesce(max(version), 0)::integer as version from refinery_schema_history";
const SERVES_FROM: &str = "select platform_serves_from() as serves_from";

async fn platform_schema(state: &AppState) -> Result<PlatformSchema> {
    let connection = state.platform.get().await?;
    let row = connection.query_one(PLATFORM_VERSION, &[]).await.context("reading the platform's schema version")?;
    let version: i32 = row.column("version")?;
    if version <= PLATFORM_SCHEMA {
        return Ok(PlatformSchema { version, serves_from: version });
    }
    let row = connection.query_one(SERVES_FROM, &[]).await.context("asking which releases the platform serves")?;
    Ok(PlatformSchema { version, serves_from: row.column("serves_from")? })
}

impl PlatformSchema {
    /// This build can serve from it.
    fn check(self) -> Result<()> {
        let Self { version, serves_from } = self;
        if version < PLATFORM_SCHEMA {
            let detail = format!(
                "saas_platform is at migration {version}; this release needs {PLATFORM_SCHEMA}: start a control plane of \
                 this release, or `rowhouse migrate run platform`"
            );
            return Err(Error::unavailable(detail));
        }
        if serves_from > PLATFORM_SCHEMA {
            let detail = format!(
                "saas_platform is at migration {version} and serves releases from {serves_from} on; this one is of \
                 {PLATFORM_SCHEMA}: start a newer one"
            );
            return Err(Error::unavailable(detail));
        }
        Ok(())
    }
}

/// Refuses a schema that can't be served from. One that can't be asked is no reason not to start: what is remembered of keys
/// may do until it answers.
async fn refuse_other_schemas(state: &AppState) -> Result<()> {
    match tokio::time::timeout(PLATFORM_PATIENCE, platform_schema(state)).await {
        Ok(Ok(schema)) => schema.check(),
        Ok(Err(error)) => {
            tracing::warn!(error = error.chain(), "saas_platform can't be asked for its schema yet");
            Ok(())
        }
        Err(_) => Ok(()),
    }
}

/// Removes unfinished files that nobody's intent names, now and from time to time; those of an intent go when it ends.
async fn sweep_unfinished(state: AppState) {
    let mut rounds = tokio::time::interval(UNFINISHED);
    loop {
        rounds.tick().await;
        match state.contents.sweep_unfinished(UNFINISHED).await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "removed unfinished uploads"),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "unfinished uploads stay"),
        }
    }
}

/// What `main` does: checks, or serves until SIGTERM or SIGINT.
pub fn run(file: Option<&Path>, check_only: bool) -> ExitCode {
    let settings = match rowhouse_settings::load(file) {
        Ok(settings) => settings,
        Err(error) => {
            rowhouse_telemetry::init_logs(&rowhouse_settings::Telemetry {
                log: "info".to_owned(),
                format: rowhouse_settings::LogFormat::Pretty,
            });
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    rowhouse_telemetry::init_logs(&settings.telemetry);
    // Two threads: requests have workers of their own, this runtime does the work behind them.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = runtime.map_err(Error::internal).and_then(|runtime| {
        runtime.block_on(async { if check_only { check(settings).await } else { serve_until_told(settings).await } })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = error.chain(), "the data plane ends");
            ExitCode::FAILURE
        }
    }
}

async fn check(settings: Settings) -> Result<()> {
    let state = AppState::new(settings)?;
    platform_schema(&state).await?.check()?;
    state.contents.check().await.map_err(Error::unavailable)?;
    tracing::info!("settings, platform schema and blob store are fine");
    Ok(())
}

async fn serve_until_told(settings: Settings) -> Result<()> {
    let application = Application::build(settings, Signals::Obeyed).await?;
    application.run_until_stopped().await.map_err(Error::internal)
}
