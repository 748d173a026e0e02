//! The export of spans: OTLP over HTTP with protobuf, on a thread of its own with a blocking client, which
//! needs no runtime and so cannot wait for one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter as Export, SpanProcessor,
};

use crate::error::{Error, ErrorKind};
use crate::telemetry::guard::Counts;

/// Spans that wait for the next batch; four batches, so that one slow answer loses nothing at 1,000 spans/s.
const QUEUE: usize = 2048;
/// Spans of a batch: some 250 KB.
const BATCH: usize = 512;
/// How long a span waits for others. A person who looks for their trace waits as long.
const DELAY: Duration = Duration::from_secs(2);

/// A batch processor that counts what it takes and what arrives.
pub(super) fn processor(
    endpoint: &str,
    timeout: Duration,
    counts: &Arc<Counts>,
) -> Result<Counted<BatchSpanProcessor>, Error> {
    let uri: http::Uri = endpoint
        .parse()
        .map_err(|error: http::uri::InvalidUri| Error::with_source(ErrorKind::Export, error))?;
    if uri.scheme_str() != Some("http") || uri.host().is_none() {
        return Err(Error::with_source(ErrorKind::Export, "the endpoint is no http:// URL"));
    }
    let endpoint = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let counts = Arc::clone(counts);
    // The blocking client starts a runtime of its own, which panics inside another: hence the thread.
    let built = thread::Builder::new()
        .name("otlp-setup".to_owned())
        .spawn(move || {
            let exporter = SpanExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(endpoint)
                .with_timeout(timeout)
                .build()
                .map_err(|error| Error::with_source(ErrorKind::Export, error.to_string()))?;
            let exporter = Counted { inner: exporter, counts: Arc::clone(&counts) };
            let inner = BatchSpanProcessor::builder(exporter)
                .with_batch_config(
                    BatchConfigBuilder::default()
                        .with_max_queue_size(QUEUE)
                        .with_max_export_batch_size(BATCH)
                        .with_scheduled_delay(DELAY)
                        .build(),
                )
                .build();
            Ok(Counted { inner, counts })
        })
        .map_err(|error| Error::with_source(ErrorKind::Thread, error))?
        .join();
    built.unwrap_or_else(|_| Err(Error::new(ErrorKind::Export)))
}

/// Wraps the processor (what comes in) and the exporter (what goes out).
#[derive(Debug)]
pub(super) struct Counted<T> {
    inner: T,
    counts: Arc<Counts>,
}

impl<T: SpanProcessor> SpanProcessor for Counted<T> {
    fn on_start(&self, span: &mut Span, cx: &Context) {
        self.inner.on_start(span, cx);
    }

    fn on_end(&self, span: SpanData) {
        self.counts.ended.fetch_add(1, Ordering::Relaxed);
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<T: Export> Export for Counted<T> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.inner.export(batch).await;
        let outcome = if result.is_ok() {
            self.counts.exported.fetch_add(spans, Ordering::Relaxed);
            "exported"
        } else {
            "failed"
        };
        metrics::counter!("otlp.spans", "outcome" => outcome).increment(spans);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
