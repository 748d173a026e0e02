//! Every answer from 400 up is a problem, whoever made it.

use std::any::Any;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{Method, Uri};

use super::{KEPT, MEDIA_TYPE, Problem};
use crate::request_id;

/// Middleware for `axum::middleware::from_fn`: renders problems with the request's path and id, and
/// makes problems of foreign error answers (extractor rejections, 404, 405). Answers that already are
/// problems (an upstream's) pass unchanged.
///
/// It stands inside the request-id layer and outside [`catch_panic`].
pub async fn problems(request: Request, next: Next) -> Response {
    let id = request_id::of(request.extensions(), request.headers());
    let head = request.method() == Method::HEAD;
    // A cheap clone, and nearly every answer drops it unused.
    let uri = original_uri(&request).clone();
    let response = next.run(request).await;
    if !response.status().is_client_error() && !response.status().is_server_error() {
        return response;
    }
    let rendered = render(response, uri.path(), id.as_deref());
    // The answer to HEAD has the headers only; hyper sends no body then, and must not count one.
    if head { rendered.map(|_| axum::body::Body::empty()) } else { rendered }
}

/// For `tower_http`'s `CatchPanicLayer::custom`: a panic is a 500 problem and a line in the log.
#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
pub fn catch_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without text");
    tracing::error!(panic = text, "a handler panicked");
    Problem::internal().into_response()
}

fn original_uri(request: &Request) -> &Uri {
    request
        .extensions()
        .get::<axum::extract::OriginalUri>()
        .map_or_else(|| request.uri(), |original| &original.0)
}

fn render(mut response: Response, path: &str, id: Option<&str>) -> Response {
    let is_problem = |r: &Response| {
        r.headers().get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(MEDIA_TYPE.as_bytes()))
    };
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if is_problem(&response) => return response,
        None => {
            let mut problem = Problem::from_status(response.status());
            for name in KEPT {
                if let Some(value) = response.headers().get(&name) {
                    problem = problem.header(name, value.clone());
                }
            }
            problem
        }
    };
    let mut rendered = problem.render(Some(path), id);
    // What layers between added (CORS, cookies) stays; what described the old body goes.
    for (name, value) in response.headers() {
        let described = name.as_str().starts_with("content-") || *name == http::header::TRANSFER_ENCODING;
        if !described && !rendered.headers().contains_key(name) {
            rendered.headers_mut().append(name, value.clone());
        }
    }
    *rendered.extensions_mut() = std::mem::take(response.extensions_mut());
    rendered
}
