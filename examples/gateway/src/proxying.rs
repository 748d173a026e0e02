//! The way to the services, and failures as the system's own problems.

use chassis::config::{Common, ConfigError};
use chassis::problem::{Code, MEDIA_TYPE, Problem};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use tower::Layer;
use tramline_streaming_proxy::layer::respond::{RespondLayer, RespondService};
use tramline_streaming_proxy::respond::{Inbound, Respond};
use tramline_streaming_proxy::{Forwarder, ProxyBody, ProxyConfig, ProxyError, Routes};

/// A forwarder that answers its failures in the system's words.
pub(crate) type Proxy = RespondService<Forwarder, SystemProblems>;

/// Answers for the failures of `forwarder`.
pub(crate) fn answering(forwarder: Forwarder) -> Proxy {
    RespondLayer::with(SystemProblems).named("gateway").layer(forwarder)
}

/// The way to the services, by these routes.
pub(crate) fn forwarder(routes: Routes, common: &Common) -> Result<Forwarder, ConfigError> {
    let mut config = ProxyConfig::default();
    config.trusted = common.trusted_proxies.clone();
    Ok(Forwarder::new(config, routes))
}

/// Writes the system's problems where the library would write its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemProblems;

impl Respond for SystemProblems {
    fn respond(&self, error: &ProxyError, request: &Inbound) -> Response<ProxyBody> {
        let status = error.status();
        let code = match status.as_u16() {
            502 | 508 => Code::BAD_GATEWAY,
            503 => Code::UNAVAILABLE,
            504 => Code::GATEWAY_TIMEOUT,
            413 => Code::BODY_TOO_LARGE,
            404 => Code::NOT_FOUND,
            405 => Code::METHOD_NOT_ALLOWED,
            408 => Code::REQUEST_TIMEOUT,
            _ => Code::BAD_REQUEST,
        };
        tracing::warn!(
            upstream = error.upstream(),
            kind = %error.kind(),
            stage = ?error.stage(),
            sent = ?error.sent(),
            source = ?std::error::Error::source(error),
            "a request was not passed on"
        );
        let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let problem = Problem::with_status(status, code, detail);
        let id = request.request_id.as_ref().and_then(|id| id.to_str().ok());
        let mut response = Response::new(ProxyBody::from(problem.to_json(Some(request.uri.path()), id)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response
    }
}
