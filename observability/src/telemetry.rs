//! One call at start: logs, trace ids and the export of spans; and a guard that flushes them at the end.

mod filter;
mod format;
mod guard;
mod logs;
#[cfg(feature = "otlp")]
mod otlp;
mod sampler;
mod writer;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{EnvFilter, Registry};

use crate::error::{Error, ErrorKind};
use crate::telemetry::filter::{ExportFilter, SpansAlways};
use crate::telemetry::logs::LogLayer;
use crate::telemetry::sampler::EdgeSampler;
use crate::telemetry::writer::LineWriter;

pub use crate::telemetry::guard::{FlushReport, Guard};

/// Sets up the process's telemetry.
#[derive(Debug)]
#[non_exhaustive]
pub struct Telemetry;

/// What [`Telemetry`] sets up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TelemetryConfig {
    /// Who writes: `service` in each log line and the resource of each exported span. A span with a field
    /// `service` speaks for itself and what is below it, for several services in one process.
    pub service_name: String,
    /// Tells replicas apart in exported spans.
    pub instance_id: Option<String>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines are written, in the syntax of `RUST_LOG`. It does not decide which spans are exported.
    ///
    /// The default writes `info` and better, and of the exporter and its HTTP client only warnings.
    pub filter: String,
    /// The collector, as `http://host:4318`; `None` exports nothing, and ids are made all the same.
    pub otlp_endpoint: Option<String>,
    /// The share of traces begun here, or by callers whom we do not trust, that is recorded: 0 to 1.
    ///
    /// The default is 1: a system that starts to need less knows it.
    pub sample_ratio: f64,
    /// How long one attempt to send a batch may take. The default, 5 s, is twice a slow collector's answer.
    pub export_timeout: Duration,
    /// How many bytes of log lines may wait for a slow reader of the standard output; beyond that lines are
    /// dropped and counted. The default, 4 MiB, is some 10,000 lines.
    pub log_buffer: usize,
    /// Colours in [`LogFormat::Pretty`]; the default is whether the standard output is a terminal.
    pub color: bool,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// One JSON object a line: `timestamp level target message service trace_id span_id request_id span`, and
    /// the event's own fields.
    Json,
}

// === impl Telemetry ===

impl Telemetry {
    /// Installs logs and traces for the whole process.
    ///
    /// If the process has a subscriber already (a test set one), that one stays, and [`Guard::is_installed`]
    /// says so.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Filter`], [`ErrorKind::Export`] and [`ErrorKind::Thread`].
    pub fn init(config: &TelemetryConfig) -> Result<Guard, Error> {
        let (dispatch, mut guard) = Self::assemble(config, Box::new(io::stdout()))?;
        guard.installed = tracing::dispatcher::set_global_default(dispatch).is_ok();
        Ok(guard)
    }

    /// Builds the same without installing it: for [`tracing::dispatcher::with_default`] in tests, or to write
    /// the log elsewhere.
    ///
    /// # Errors
    ///
    /// Like [`init`](Self::init).
    pub fn build(
        config: &TelemetryConfig,
        output: Box<dyn Write + Send>,
    ) -> Result<(Dispatch, Guard), Error> {
        let (dispatch, mut guard) = Self::assemble(config, output)?;
        // While there is only one subscriber, `tracing` asks the thread that meets a span first whether it is
        // wanted, for all threads; that thread may be one without a subscriber. With two it asks both.
        guard.second = Some(Dispatch::new(NoSubscriber::new()));
        Ok((dispatch, guard))
    }

    fn assemble(config: &TelemetryConfig, output: Box<dyn Write + Send>) -> Result<(Dispatch, Guard), Error> {
        let filter = EnvFilter::builder()
            .parse(&config.filter)
            .map_err(|error| Error::with_source(ErrorKind::Filter, error))?;
        let counts = Arc::new(guard::Counts::default());
        let provider = provider(config, &counts)?;
        let (lines, writer) = LineWriter::start(output, config.log_buffer)
            .map_err(|error| Error::with_source(ErrorKind::Thread, error))?;

        // Lean: what is switched off here is a third of a span's cost, and none of it is of use in a trace.
        let spans = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("tramline"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_context_activation(false)
            .with_filter(ExportFilter);
        let logs = LogLayer::new(config, lines).with_filter(SpansAlways(filter));
        let dispatch = Dispatch::new(Registry::default().with(spans).with(logs));
        Ok((dispatch, Guard::new(provider, writer, counts)))
    }
}

// === impl TelemetryConfig ===

impl TelemetryConfig {
    /// The defaults, for a service of this name.
    #[must_use]
    pub fn new(service_name: impl Into<String>) -> Self {
        Self { service_name: service_name.into(), ..Self::default() }
    }
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            service_name: "unknown".to_owned(),
            instance_id: None,
            log_format: LogFormat::default(),
            filter: "info,opentelemetry=warn,opentelemetry_sdk=warn,opentelemetry-otlp=warn,hyper=warn,reqwest=warn"
                .to_owned(),
            otlp_endpoint: None,
            sample_ratio: 1.0,
            export_timeout: Duration::from_secs(5),
            log_buffer: 4 << 20,
            color: io::stdout().is_terminal(),
        }
    }
}

fn provider(config: &TelemetryConfig, counts: &Arc<guard::Counts>) -> Result<SdkTracerProvider, Error> {
    // Empty, because the default looks into the environment, which is the application's to read.
    let mut resource = Resource::builder_empty().with_service_name(config.service_name.clone());
    if let Some(id) = &config.instance_id {
        resource = resource.with_attribute(opentelemetry::KeyValue::new("service.instance.id", id.clone()));
    }
    let builder = SdkTracerProvider::builder()
        .with_sampler(EdgeSampler::new(config.sample_ratio))
        .with_resource(resource.build());
    let Some(endpoint) = &config.otlp_endpoint else {
        return Ok(builder.build());
    };
    #[cfg(feature = "otlp")]
    {
        let processor = otlp::processor(endpoint, config.export_timeout, counts)?;
        Ok(builder.with_span_processor(processor).build())
    }
    #[cfg(not(feature = "otlp"))]
    {
        let _ = (endpoint, counts);
        Err(Error::with_source(ErrorKind::Export, "the feature `otlp` is off"))
    }
}

#[cfg(test)]
mod tests;
