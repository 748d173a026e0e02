//! The provider's HTTP client: one signed call.

use std::time::Duration;

use bytes::Bytes;
use chassis::config::Secret;
use chassis::origin::Origin;
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use url::Url;

use super::signature;

/// How a call ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Called {
    /// It was taken.
    Taken,
    /// It was refused for good; another call would be, too.
    Refused(StatusCode),
    /// It did not get through, or the other side was not able to take it: again later.
    Failed,
}

/// Calls a webhook. Clones share the connections.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
    url: Url,
    secret: Secret,
}

/// A provider does not wait for ever: well below the job's lease, which must outlast the call.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Caller {
    pub(super) fn new(url: Url, secret: Secret) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), url, secret }
    }

    /// Posts a body, signed at `now`, in the trace of the request that began it.
    pub(super) async fn call(&self, body: String, origin: &Origin, now: Timestamp) -> Called {
        let signature = signature::sign(self.secret.expose().as_bytes(), now.as_second(), body.as_bytes());
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.url.as_str())
            .header(CONTENT_TYPE, "application/json")
            .header(signature::HEADER, signature);
        for (name, value) in [("x-request-id", &origin.correlation_id), ("traceparent", &origin.traceparent)]
        {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let request = request.body(Full::from(body));
        let Ok(request) = request else { return Called::Failed };
        match tokio::time::timeout(TIMEOUT, self.client.request(request)).await {
            Ok(Ok(response)) if response.status().is_success() => Called::Taken,
            Ok(Ok(response)) => match response.status() {
                // These say «not so, ever»; all others may change with time.
                status
                @ (StatusCode::CONFLICT | StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY) => {
                    Called::Refused(status)
                }
                _ => Called::Failed,
            },
            Ok(Err(_)) | Err(_) => Called::Failed,
        }
    }
}
