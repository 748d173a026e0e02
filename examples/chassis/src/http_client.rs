//! A small HTTP client for the few documents that one process fetches from another.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;
use url::Url;

/// Fetches JSON documents over plain HTTP, within bounds. Clones share connections.
#[derive(Clone, Debug)]
pub struct JsonClient {
    client: Client<HttpConnector, Empty<Bytes>>,
}

/// Why a document could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The URL cannot be asked.
    #[error("the URL cannot be asked")]
    Url,
    /// The other side did not answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The other side could not be reached, or broke off.
    #[error("the request failed")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The other side answered with this status.
    #[error("the answer's status is {0}")]
    Status(StatusCode),
    /// The answer is not the document.
    #[error("the answer is not the expected document")]
    Document(#[source] serde_json::Error),
}

/// A peer that does not answer the handshake for this long is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// For the whole of one fetch: these documents are a few kilobytes on a local network.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// 100,000 revocations are some 20 MiB; more is not a document of ours.
const MAX_BODY: usize = 32 * 1024 * 1024;

// === impl JsonClient ===

impl JsonClient {
    /// A client without connections.
    #[must_use]
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(1)
            .build(connector);
        Self { client }
    }

    /// Gets the document at `url`.
    ///
    /// # Errors
    ///
    /// It cannot be had, or is another document.
    pub async fn get<T: DeserializeOwned>(&self, url: &Url) -> Result<T, FetchError> {
        let bytes =
            tokio::time::timeout(FETCH_TIMEOUT, self.fetch(url)).await.map_err(|_| FetchError::Timeout)??;
        serde_json::from_slice(&bytes).map_err(FetchError::Document)
    }

    async fn fetch(&self, url: &Url) -> Result<Bytes, FetchError> {
        let uri: Uri = url.as_str().parse().map_err(|_| FetchError::Url)?;
        let request = Request::builder()
            .method(Method::GET)
            .uri(uri)
            .body(Empty::new())
            .map_err(|_| FetchError::Url)?;
        let response = self.client.request(request).await.map_err(|e| FetchError::Request(e.into()))?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(FetchError::Request)
    }
}

impl Default for JsonClient {
    fn default() -> Self {
        Self::new()
    }
}
