//! From http to https.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::header::LOCATION;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};

use crate::body::ProxyBody;
use crate::error::ProxyError;
use crate::headers::framing;
use crate::headers::scan::Scan;
use crate::layer::respond;
use crate::respond::Inbound;

/// A service for the listener without TLS: every request is answered 308 with the same place behind https.
///
/// 308 keeps the method and the body. What a client has sent before it is told, it has sent in the clear; [HSTS] makes
/// browsers come by https the next time.
///
/// The host is the client's own, if it is one: requests without a `Host`, with several, or with one that could be read
/// in two ways are 400, and their words are not repeated.
///
/// ```
/// use tower::ServiceExt;
/// use tramline_streaming_proxy::edge::redirect::HttpsRedirect;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let request = http::Request::get("/cart?item=7").header("host", "shop.example:8080").body(())?;
/// let response = HttpsRedirect::to_port(8443).oneshot(request).await?;
/// assert_eq!(response.status(), 308);
/// assert_eq!(response.headers()["location"], "https://shop.example:8443/cart?item=7");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// [HSTS]: crate::layer::security_headers::hsts
#[derive(Clone, Copy, Debug)]
pub struct HttpsRedirect {
    port: u16,
}

/// The port that https has without a word (RFC 9110, 4.2.2).
const HTTPS: u16 = 443;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

// === impl HttpsRedirect ===

impl HttpsRedirect {
    /// To the usual port.
    #[must_use]
    pub fn new() -> Self {
        Self::to_port(HTTPS)
    }

    /// To this port, whichever the client named for http.
    #[must_use]
    pub fn to_port(port: u16) -> Self {
        Self { port }
    }

    fn location<B>(self, request: &Request<B>) -> Result<HeaderValue, ProxyError> {
        let authority = framing::check(request, Scan::of(request.headers()), usize::MAX)?
            .ok_or_else(|| ProxyError::bad_request("no Host"))?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let host = authority.host();
        let location = match self.port {
            HTTPS => format!("https://{host}{path}"),
            port => format!("https://{host}:{port}{path}"),
        };
        HeaderValue::try_from(location).map_err(|cause| ProxyError::bad_request("not a target").with(cause))
    }
}

impl Default for HttpsRedirect {
    fn default() -> Self {
        Self::new()
    }
}

impl<B> tower::Service<Request<B>> for HttpsRedirect {
    type Response = Response<ProxyBody>;
    type Error = Infallible;
    type Future = Ready<Result<Response<ProxyBody>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(match self.location(&request) {
            Ok(location) => {
                let mut response = Response::new(ProxyBody::empty());
                *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
                response.headers_mut().insert(LOCATION, location);
                response
            }
            Err(error) => {
                let (parts, _) = request.into_parts();
                let request_id = parts.headers.get(X_REQUEST_ID).cloned();
                let inbound = Inbound { method: parts.method, uri: parts.uri, request_id };
                respond::refusal(&error, &inbound)
            }
        }))
    }
}
