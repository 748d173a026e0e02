//! What a browser asks for: files, and `/ws`.

use std::net::SocketAddr;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use serde_json::json;
use tramline_ws_rooms::PeerInfo;

use crate::{Answer, Bed};

pub(crate) async fn page(bed: &Bed, request: Request<Incoming>, from: SocketAddr) -> Answer {
    match request.uri().path() {
        "/ws" => socket(bed, request, from).await,
        name if request.method() == Method::GET => file(bed, name),
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "GET only"),
    }
}

async fn socket(bed: &Bed, request: Request<Incoming>, from: SocketAddr) -> Answer {
    let number = request.uri().query().and_then(|query| query.strip_prefix("node=")?.parse().ok());
    let node = bed.nodes.node(number.unwrap_or(0));
    match node.upgrade(request, PeerInfo::new(from.ip())).await {
        Ok(response) => response.map(|()| Full::new(Bytes::new())),
        Err(refusal) => {
            let problem = json!({"status": refusal.status.as_u16(), "code": refusal.code});
            let mut response = Response::new(Full::from(problem.to_string()));
            *response.status_mut() = refusal.status;
            refusal.apply_headers(response.headers_mut());
            response
        }
    }
}

fn file(bed: &Bed, path: &str) -> Answer {
    let name = path.trim_start_matches('/');
    let kind = match name.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        _ => return text(StatusCode::NOT_FOUND, "no such file"),
    };
    // One folder, and nothing below or beside it.
    if name.contains(['/', '\\']) {
        return text(StatusCode::NOT_FOUND, "no such file");
    }
    match std::fs::read(bed.files.join(name)) {
        Ok(bytes) => {
            let mut response = Response::new(Full::from(bytes));
            response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
            response
        }
        Err(_) => text(StatusCode::NOT_FOUND, "no such file"),
    }
}

pub(crate) fn text(status: StatusCode, text: &'static str) -> Answer {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}
