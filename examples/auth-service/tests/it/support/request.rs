//! Requests into the router.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use chassis::testing::{Answer, answer};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Builder;
use http::{HeaderMap, Request};
use serde_json::Value;

/// A request on its way.
pub(crate) struct Call<'r> {
    router: &'r Router,
    request: Builder,
    body: Body,
}

// === impl Call ===

impl<'r> Call<'r> {
    pub(crate) fn new(router: &'r Router, method: &str, path: &str) -> Self {
        // The gateway, by which clients' addresses are believed.
        let peer = ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4_000)));
        let request = Request::builder().method(method).uri(path).extension(peer);
        Self { router, request, body: Body::empty() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    /// A client at this address.
    pub(crate) fn from(self, addr: &str) -> Self {
        self.header("x-forwarded-for", addr)
    }

    /// A page of ours that has this cookie.
    pub(crate) fn page(self, cookie: &str) -> Self {
        self.header("origin", super::PAGE).header("sec-fetch-site", "same-origin").header("cookie", cookie)
    }

    pub(crate) fn json(self, body: Value) -> Self {
        self.header(CONTENT_TYPE.as_str(), "application/json").body(body.to_string())
    }

    pub(crate) fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) async fn send(self) -> Answer {
        answer(self.router, self.request.body(self.body).unwrap()).await
    }
}

/// The `Set-Cookie` lines of an answer.
pub(crate) fn cookies(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect()
}
