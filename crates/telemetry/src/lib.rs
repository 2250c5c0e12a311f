//! Logs and metrics, set up once a process.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use rowhouse_settings::{LogFormat, Telemetry};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

/// How often samples are folded into their histograms: until then each takes memory, whether anybody reads them or not.
const UPKEEP: Duration = Duration::from_secs(5);

/// A gauge that nobody has set for so long is shown no more.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// Seconds: from a cached look-up to a slow upload.
const DURATION_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Sends logs to standard error. A second call in the same process changes nothing.
pub fn init_logs(settings: &Telemetry) {
    // By target and level only: what can filter by a span's fields looks at each span of each request.
    let filter: Targets = settings.log.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    // It writes whole requests at finer levels, with their signatures and with those that would have been right. A filter of its
    // own: in the other one a module of the crate that is named by itself would come first.
    let no_signatures = Targets::new().with_default(LevelFilter::TRACE).with_target("s3s", LevelFilter::INFO);
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // A reader of the log that went away must not take the service with it: the complaint would be a panic.
        .log_internal_errors(false)
        .with_target(true)
        .with_span_events(FmtSpan::NONE);
    let layer = match settings.format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Pretty => layer.compact().boxed(),
    };
    // Fails where a subscriber is set already, which is what a second call in one process means.
    let _ = Registry::default().with(filter).with(no_signatures).with(layer).try_init();
}

/// The process's metrics, in the text format of Prometheus when rendered.
pub fn metrics() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), DURATION_BUCKETS)
            .expect("the list of buckets is not empty")
            // The busiest tenants of an hour ago are nobody's concern.
            .idle_timeout(MetricKindMask::GAUGE, Some(FORGOTTEN))
            .install_recorder()
            .expect("no other recorder is installed in this process")
    })
}

/// Keeps the memory that metrics take within bounds, for as long as the future is polled.
pub async fn keep_metrics() {
    loop {
        tokio::time::sleep(UPKEEP).await;
        metrics().run_upkeep();
    }
}
