//! Telemetry in one call: logs that carry the trace, bounded metrics, health that tells the truth, and a
//! drain in order.
//!
//! ```
//! use tramline_observability::{Health, HttpLayer, Lifecycle, Telemetry, TelemetryConfig, Trust};
//! use tramline_observability::health::Need;
//! use tramline_observability::metrics::{Recorder, RecorderConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let guard = Telemetry::init(&TelemetryConfig::new("payments"))?;
//! let metrics = Recorder::global(&RecorderConfig::default())?;
//! let lifecycle = Lifecycle::new();
//! let health = Health::new("payments");
//! health.check("database", Need::Required, || async { Ok::<_, std::io::Error>(()) });
//! let layer = HttpLayer::new("payments", Trust::Internal);
//!
//! assert!(health.ready().await.is_ready());
//! # let _ = (layer, metrics.render());
//! lifecycle.drain(std::time::Duration::from_secs(20)).await;
//! guard.shutdown(std::time::Duration::from_secs(2)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `otlp` | yes | export of spans over OTLP, HTTP with protobuf, when an endpoint is configured |
//!
//! # How it works
//!
//! Every span gets its ids from one place, the OpenTelemetry bridge, whether or not spans are exported; so log
//! lines, response headers, and what an application puts into its outbox or its messages (see
//! [`current_traceparent`]) name the same trace. Metrics go through the `metrics` facade into a [`Recorder`]
//! with a bound on the series of each metric. What is refused or lost is counted.
//!
//! # Limits
//!
//! The exporter speaks plain HTTP to a collector near the process; TLS belongs to the collector.
//!
//! [`Recorder`]: metrics::Recorder

pub mod admin;
pub mod correlation;
mod error;
pub mod health;
pub mod layer;
pub mod lifecycle;
pub mod metrics;
pub mod telemetry;
pub mod trace_context;

pub use crate::error::{Error, ErrorKind};
pub use crate::health::Health;
pub use crate::layer::HttpLayer;
pub use crate::lifecycle::Lifecycle;
pub use crate::telemetry::{Telemetry, TelemetryConfig};
pub use crate::trace_context::{Trust, current_traceparent};
