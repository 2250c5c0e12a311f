//! From settings to a running service.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle, ServiceRequest};
use actix_web::middleware::from_fn;
use actix_web::{App, FromRequest, HttpServer, web};
use rowhouse_database::{Described, Sql};
use rowhouse_keys::PlainApiKey;
use rowhouse_problem::{Error, Result};
use rowhouse_settings::Settings;
use rowhouse_web::{Prefer, Readiness, RequestSpan, deadline, finish, metrics, operational};
use tokio_util::task::TaskTracker;
use tracing_actix_web::TracingLogger;

use crate::authentication::authenticate;
use crate::context::Context;
use crate::operations::reconcile;
use crate::{api_keys, fleet, housekeeping, leader, preparation, routes};

/// Whether the service stops on SIGTERM and SIGINT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signals {
    /// It stops: what a process of its own does.
    Obeyed,
    /// It does not: whoever holds a [`StopHandle`] stops it, as tests do.
    Ignored,
}

/// The control plane, ready to run: its database is prepared and its port is bound.
pub struct Application {
    port: u16,
    server: Server,
    context: Arc<Context>,
}

impl Application {
    /// Prepares the platform database and binds the port; port 0 picks a free one.
    ///
    /// # Errors
    /// Where the database does not answer, can't be migrated, or the port is taken.
    pub async fn build(settings: Settings, signals: Signals) -> Result<Self> {
        let context = Arc::new(Context::new(settings)?);
        preparation::prepare(&context).await?;
        let server = &context.settings.control_plane;
        let listener = TcpListener::bind((server.host.as_str(), server.port)).map_err(Error::internal)?;
        let port = listener.local_addr().map_err(Error::internal)?.port();
        let server = serve(&context, listener, signals)?;
        Ok(Self { port, server, context })
    }

    /// The port that the service listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Something to stop the service with, while [`run_until_stopped`](Self::run_until_stopped) runs.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle(self.server.handle())
    }

    /// Makes a platform-admin key.
    ///
    /// # Errors
    /// Where the database does not answer or the name is not valid.
    pub async fn issue_admin_key(&self, name: &str) -> Result<PlainApiKey> {
        api_keys::issue_platform_key(&self.context, name).await
    }

    /// Serves requests and carries operations out until it is stopped; then requests in flight are finished, and so is
    /// the step that each operation is at.
    ///
    /// # Errors
    /// Where the server can't run.
    pub async fn run_until_stopped(self) -> std::io::Result<()> {
        let Self { port, server, context } = self;
        let stop = &context.stop;
        tracing::info!(port, "the control plane listens");
        let background = TaskTracker::new();
        background.spawn(reconcile(Arc::clone(&context)));
        background.spawn(fleet::work(Arc::clone(&context), stop.clone()));
        background.spawn(leader::run(Arc::clone(&context), stop.clone()));
        background.spawn(housekeeping::run(Arc::clone(&context), stop.clone()));
        background.spawn(stop.clone().run_until_cancelled_owned(rowhouse_telemetry::keep_metrics()));
        background.close();
        let served = server.await;
        stop.cancel();
        let patience = context.settings.control_plane.shutdown_timeout;
        if tokio::time::timeout(patience, background.wait()).await.is_err() {
            // Leases run out, and whoever comes next goes on.
            tracing::warn!("operations are left to whoever comes next: their step took too long");
        }
        context.progress.close();
        context.platform.close();
        tracing::info!("the control plane has stopped");
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

fn serve(context: &Arc<Context>, listener: TcpListener, signals: Signals) -> Result<Server> {
    // Installed before the first request is counted.
    rowhouse_telemetry::metrics();
    let settings = context.settings.control_plane.clone();
    let data = web::Data::from(Arc::clone(context));
    let readiness = readiness(context);
    let limits = Limits { request: settings.request_timeout, wait: context.settings.provisioning.wait };
    let mut server = HttpServer::new(move || {
        let readiness = readiness.clone();
        App::new()
            .app_data(data.clone())
            // The last one that is named is the first one that a request meets.
            .wrap(from_fn(authenticate))
            .wrap(from_fn(move |request, next| async move { deadline(limits.of(&request).await, request, next).await }))
            .wrap(from_fn(finish))
            .wrap(TracingLogger::<RequestSpan>::new())
            .configure(|config| operational(config, readiness, routes::documentation()))
            .route("/metrics", web::get().to(metrics))
            .configure(routes::configure)
    })
    // An answer's head and body are two writes: without this a small body waits 40 ms for the head's acknowledgement.
    .tcp_nodelay(true)
    .shutdown_timeout(settings.shutdown_timeout.as_secs().max(1));
    if settings.workers > 0 {
        server = server.workers(settings.workers);
    }
    if signals == Signals::Ignored {
        server = server.disable_signals();
    }
    Ok(server.listen(listener).map_err(Error::internal)?.run())
}

/// How long a request may take: as long as it asks to wait for long work, and then some.
#[derive(Clone, Copy)]
struct Limits {
    request: Duration,
    wait: Duration,
}

impl Limits {
    async fn of(self, request: &ServiceRequest) -> Duration {
        let prefer = Prefer::extract(request.request()).await;
        self.request + prefer.map_or(self.wait, |prefer| prefer.wait_or(self.wait))
    }
}

const PING: &str = "select 1 as one";

fn readiness(context: &Arc<Context>) -> Readiness {
    let context = Arc::clone(context);
    Readiness::new(move || {
        let context = Arc::clone(&context);
        async move {
            context.platform.get().await?.query_one(PING, &[]).await.context("asking the platform database").map(drop)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_can_run_the_service_as_a_task() {
        fn is_send<T: Send>(_: impl Fn(Application) -> T) {}
        is_send(Application::run_until_stopped);
    }
}
