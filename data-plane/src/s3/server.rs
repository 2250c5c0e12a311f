//! The listener: connections, the limits that hold before anything is read, and the way to stop.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_SECURITY_POLICY, EXPECT, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use pin_project_lite::pin_project;
use rowhouse_problem::{Error, Result};
use s3s::host::SingleDomain;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{HttpError, HttpResponse, S3Error, S3ErrorCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::Instrument;
use uuid::Uuid;

use super::authentication::{Keys, VISIT, Visit};
use super::failure::failure;
use super::operations::Door;
use crate::files::doors;
use crate::rate_limits::Standing;
use crate::state::AppState;
use crate::usage::{Outgoing, Tally};

/// How long the head of a request may take to come.
const HEAD: Duration = Duration::from_secs(10);
/// How long to wait where the system has no more sockets to give.
const BREATH: Duration = Duration::from_millis(100);

/// The S3-compatible server of this process.
pub(crate) struct S3Server {
    port: u16,
    stop: watch::Sender<()>,
    served: JoinHandle<()>,
}

impl S3Server {
    /// Binds the port of the settings (0: any free one) and serves, unless the settings say that there is to be none.
    ///
    /// # Errors
    /// Where the port is taken, or the domain is no host's name.
    pub(crate) async fn start(state: &AppState) -> Result<Option<Self>> {
        let settings = &state.settings.s3;
        if !settings.enabled {
            return Ok(None);
        }
        let listener = TcpListener::bind((settings.host.as_str(), settings.port)).await.map_err(Error::internal)?;
        let port = listener.local_addr().map_err(Error::internal)?.port();
        let mut service = S3ServiceBuilder::new(Door(state.clone()));
        service.set_auth(Keys(state.clone()));
        service.set_access(Keys(state.clone()));
        if !settings.domain.is_empty() {
            service.set_host(SingleDomain::new(&settings.domain).map_err(Error::internal)?);
        }
        let (stop, stopped) = watch::channel(());
        let served = tokio::spawn(serve(listener, service.build(), state.clone(), stopped));
        tracing::info!(port, "the S3 door is open");
        Ok(Some(Self { port, stop, served }))
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Takes no new connections, and finishes the requests in flight, but for no longer than `patience`.
    pub(crate) async fn stop(self, patience: Duration) {
        drop(self.stop);
        let abort = self.served.abort_handle();
        if tokio::time::timeout(patience, self.served).await.is_err() {
            abort.abort();
        }
    }
}

async fn serve(listener: TcpListener, service: S3Service, state: AppState, mut stopped: watch::Receiver<()>) {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => break,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        prepare(&socket, &state);
        let (service, state) = (service.clone(), state.clone());
        let answer = service_fn(move |request| answer(service.clone(), state.clone(), peer, request));
        let connection = http.serve_connection(TokioIo::new(socket), answer).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = &*error, "a connection broke");
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Small answers go at once, and one that nobody takes ends its connection.
fn prepare(socket: &TcpStream, state: &AppState) {
    let milliseconds = u32::try_from(state.settings.uploads.idle_timeout.as_millis()).unwrap_or(u32::MAX);
    let bounded = rustix::net::sockopt::set_tcp_user_timeout(socket, milliseconds).map_err(std::io::Error::from);
    if let Err(error) = socket.set_nodelay(true).and(bounded) {
        tracing::debug!(%error, "a connection's writes are not bounded");
    }
}

async fn answer(
    service: S3Service,
    state: AppState,
    peer: SocketAddr,
    request: hyper::Request<Incoming>,
) -> std::result::Result<HttpResponse, HttpError> {
    let (begun, is_head) = (Instant::now(), request.method() == Method::HEAD);
    let request_id = Uuid::now_v7().to_string();
    // Nothing of the address, whose query may hold a signature.
    let span = tracing::info_span!(
        "s3",
        request.id = request_id,
        s3.operation = tracing::field::Empty,
        tenant.id = tracing::field::Empty,
        org.id = tracing::field::Empty,
        key.id = tracing::field::Empty,
    );
    let visit = Arc::new(Visit {
        address: peer.ip(),
        standing: Mutex::new(Standing::default()),
        tally: OnceLock::new(),
        is_counted: AtomicBool::new(false),
    });
    let (expects, has_begun) = (request.headers().contains_key(EXPECT), Arc::new(AtomicBool::new(false)));
    let mut response = match admit(&state, peer.ip(), &visit) {
        Ok(()) => {
            let request = request.map(|body| received(noted(body, &has_begun), &visit));
            VISIT.scope(Arc::clone(&visit), service.call(request)).instrument(span).await?
        }
        Err(refused) => refused.to_http_response().map_err(|error| HttpError::new(Box::new(error)))?,
    };
    let status = response.status();
    let is_known = visit.tally.get().is_some() || visit.is_counted.load(Ordering::Relaxed);
    if status == http::StatusCode::FORBIDDEN && !is_known {
        let mut standing = visit.standing.lock().unwrap_or_else(PoisonError::into_inner);
        // What is one too many is told to the next request.
        let _ = state.wrong_keys.count(Some(peer.ip()), &mut standing);
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-amz-request-id", value);
    }
    // A presigned address may be opened by a browser.
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(doors::POLICY));
    // Clients of Amazon's for Python take the status of an answer that no `100 Continue` came before for that of the next one, too,
    // unless the connection ends with it (`botocore.awsrequest`). So it is with a body that is empty or was not asked for.
    if expects && !has_begun.load(Ordering::Relaxed) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    metrics::counter!("rowhouse_s3_requests_total", "status" => status.as_str().to_owned()).increment(1);
    metrics::histogram!("rowhouse_s3_request_seconds").record(begun.elapsed().as_secs_f64());
    let tally = visit.tally.get().cloned();
    Ok(response.map(|body| s3s::Body::http_body_unsync(Sent::new(body, tally, is_head))))
}

/// A body of which it is noted that something has come.
fn noted(
    body: Incoming,
    has_begun: &Arc<AtomicBool>,
) -> impl Body<Data = Bytes, Error = hyper::Error> + Send + 'static {
    let has_begun = Arc::clone(has_begun);
    body.inspect_frame(move |_| has_begun.store(true, Ordering::Relaxed))
}

/// A request's body whose bytes are counted as they come, from when it is known for whom.
fn received(body: impl Body<Data = Bytes, Error = hyper::Error> + Send + 'static, visit: &Arc<Visit>) -> s3s::Body {
    let visit = Arc::clone(visit);
    s3s::Body::http_body_unsync(body.inspect_frame(move |frame| {
        if let (Some(bytes), Some(tally)) = (frame.data_ref(), visit.tally.get()) {
            tally.receive(bytes.len());
        }
    }))
}

pin_project! {
    /// An answer's body whose bytes are counted as they are sent.
    struct Sent {
        #[pin]
        body: s3s::Body,
        outgoing: Option<Outgoing>,
    }
}

impl Sent {
    /// `is_head` says that the head is all that is sent.
    fn new(body: s3s::Body, tally: Option<Arc<Tally>>, is_head: bool) -> Self {
        let size = if is_head || body.is_end_stream() { Some(0) } else { Body::size_hint(&body).exact() };
        Self { body, outgoing: tally.map(|tally| Outgoing::new(tally, size)) }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = s3s::StdError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, s3s::StdError>>> {
        let mut this = self.project();
        let polled = this.body.as_mut().poll_frame(context);
        if let (Poll::Ready(piece), Some(outgoing)) = (&polled, this.outgoing) {
            if let Some(Ok(frame)) = piece {
                outgoing.piece(frame.data_ref().map_or(0, Bytes::len));
            }
            // Nobody asks for what comes after a piece that says of itself that it is the last.
            if !matches!(piece, Some(Ok(_))) || this.body.is_end_stream() {
                outgoing.end();
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.body)
    }
}

/// Whether the address may ask at all.
fn admit(state: &AppState, address: IpAddr, visit: &Visit) -> std::result::Result<(), S3Error> {
    let mut standing = visit.standing.lock().unwrap_or_else(PoisonError::into_inner);
    state.rate_limits.count_address(Some(address), &mut standing).map_err(|error| {
        let mut refused = failure(error);
        refused.set_code(S3ErrorCode::SlowDown);
        refused
    })
}
