//! One answer of the admin listener.

use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use crate::admin::AdminConfig;
use crate::health::Health;
use crate::metrics;

pub(super) async fn answer<B>(request: &Request<B>, config: &AdminConfig) -> Response<Full<Bytes>> {
    let known = matches!(request.uri().path(), "/livez" | "/readyz" | "/metrics");
    if known && !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = problem(StatusCode::METHOD_NOT_ALLOWED);
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    match (request.uri().path(), &config.metrics) {
        ("/livez", _) => body(StatusCode::OK, JSON, r#"{"status":"alive"}"#.to_owned()),
        ("/readyz", _) => readiness(&config.healths).await,
        ("/metrics", Some(handle)) => {
            let handle = handle.clone();
            // Thousands of series take milliseconds, which a worker of the runtime should not.
            match tokio::task::spawn_blocking(move || handle.render()).await {
                Ok(text) => body(StatusCode::OK, metrics::CONTENT_TYPE, text),
                Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR),
            }
        }
        _ => problem(StatusCode::NOT_FOUND),
    }
}

async fn readiness(healths: &[Health]) -> Response<Full<Bytes>> {
    let reports = join_all(healths.iter().map(Health::ready)).await;
    let ready = reports.iter().all(crate::health::Report::is_ready);
    let (status, word) =
        if ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "notReady") };
    let text = json!({ "status": word, "services": reports }).to_string();
    body(status, JSON, text)
}

fn problem(status: StatusCode) -> Response<Full<Bytes>> {
    let text = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
    });
    body(status, "application/problem+json", text.to_string())
}

fn body(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const JSON: &str = "application/json";
