//! What is kept of each request: its count, its duration, and a line in the log where it took long.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use metrics::{Counter, Histogram};

/// A request that takes longer is worth a line at the level `info`; the others have theirs at `debug`.
const LONG: Duration = Duration::from_secs(1);

/// The metrics of one kind of answer.
struct Kept {
    count: Counter,
    seconds: Histogram,
}

/// Those of one route, by method and status.
type OfRoute = HashMap<(&'static str, u16), Kept>;

thread_local! {
    /// By route. Looking a metric up by its labels costs more than the rest of this module, and
    /// routes, methods and statuses are few.
    static KEPT: RefCell<HashMap<String, OfRoute>> = RefCell::new(HashMap::new());
}

/// Counts an answer. `route` is the pattern, not the path.
pub(crate) fn observe(method: &Method, route: String, status: StatusCode, elapsed: Duration) {
    let (method, status) = (label(method), status.as_u16());
    let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    if elapsed >= LONG {
        tracing::info!(status, duration_ms, "answered after long");
    } else {
        tracing::debug!(status, duration_ms, "answered");
    }
    KEPT.with_borrow_mut(|kept| {
        if !kept.contains_key(&route) {
            kept.insert(route.clone(), OfRoute::new());
        }
        let Some(of_route) = kept.get_mut(&route) else { return };
        let kept = of_route.entry((method, status)).or_insert_with(|| {
            let labels = [("method", method.to_owned()), ("route", route.clone()), ("status", status.to_string())];
            Kept {
                count: metrics::counter!("rowhouse_http_requests_total", &labels),
                seconds: metrics::histogram!("rowhouse_http_request_seconds", "route" => route),
            }
        });
        kept.count.increment(1);
        kept.seconds.record(elapsed.as_secs_f64());
    });
}

/// A method may be any word that a client makes up, and each label's value is kept for ever.
pub(crate) fn label(method: &Method) -> &'static str {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ];
    const NAMES: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.iter().position(|known| known == method).map_or("other", |place| NAMES[place])
}
