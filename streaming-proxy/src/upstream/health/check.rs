//! Checks of an address by requests of the proxy's own.

use std::sync::{Arc, Weak};
use std::time::Duration;

use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request};
use tokio::time::timeout;

use crate::body::upload::Upload;
use crate::config::HealthCheck;
use crate::error::{BoxError, ErrorKind, ProxyError};
use crate::resilience::metrics::ResilienceMetrics;
use crate::upstream::endpoint::Endpoint;

/// Who asks.
const NAME: HeaderValue = HeaderValue::from_static("tramline-health-check");

/// Checks the address until it is ended, the first time at once.
pub(crate) async fn watch(endpoint: Weak<Endpoint>, check: HealthCheck, metrics: Arc<ResilienceMetrics>) {
    loop {
        let Some(endpoint) = endpoint.upgrade() else { return };
        let found = match timeout(check.timeout, Box::pin(ask(&endpoint, &check.path))).await {
            Ok(answer) => answer,
            Err(late) => Err(late.into()),
        };
        if found.as_ref().is_err_and(is_full) {
            drop(endpoint);
            tokio::time::sleep(jittered(check.interval)).await;
            continue;
        }
        metrics.checked(found.is_ok());
        match endpoint.health.checked(found.is_ok(), check.healthy, check.unhealthy) {
            Some(true) => tracing::info!(address = endpoint.authority(), "address is healthy again"),
            Some(false) => tracing::warn!(
                address = endpoint.authority(),
                error = found.err().as_deref().map(|error| error as &dyn std::error::Error),
                "address is unhealthy"
            ),
            None => {}
        }
        drop(endpoint);
        tokio::time::sleep(jittered(check.interval)).await;
    }
}

/// A full address is no bad one: that there was no stream for the check says nothing.
fn is_full(error: &BoxError) -> bool {
    error.downcast_ref::<ProxyError>().is_some_and(|error| error.kind() == ErrorKind::Overloaded)
}

/// One request, which takes no turn.
async fn ask(endpoint: &Endpoint, path: &str) -> Result<(), BoxError> {
    let mut channel = endpoint.probe().await?;
    let mut request = Request::get(path).body(Upload::empty())?;
    let headers = request.headers_mut();
    headers.insert(HOST, endpoint.host().clone());
    headers.insert(USER_AGENT, NAME);
    let response = channel.send(request).await.map_err(|failed| failed.cause)?;
    let status = response.status();
    if status.is_success() || status.is_redirection() { Ok(()) } else { Err(status.to_string().into()) }
}

/// More or less by a tenth, so that several proxies do not ask together.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::random_range(0.9..1.1))
}
