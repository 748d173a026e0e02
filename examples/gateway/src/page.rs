//! The built-in page: served from this binary, nothing fetched from anyone else.

use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

const INDEX: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/live.css");
const SCRIPT: &str = include_str!("page/live.js");
/// `@tramline/ws-rooms` as one module: written by `npm run page` in `ws-rooms/web`, compared by `cargo dev check`.
const ROOMS: &str = include_str!("page/rooms.js");
const ICON: &str = include_str!("page/icon.svg");

/// What the page may do: its own script and style, and requests to where it came from.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The file at a path; every path that is no file is the page itself, which knows its own ways.
pub(crate) fn file(path: &str) -> Response {
    let (media_type, text) = match path {
        "/assets/live.css" => ("text/css; charset=utf-8", STYLE),
        "/assets/live.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "/assets/rooms.js" => ("text/javascript; charset=utf-8", ROOMS),
        "/assets/icon.svg" | "/favicon.ico" => ("image/svg+xml", ICON),
        _ => ("text/html; charset=utf-8", INDEX),
    };
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_TYPE, media_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // The files have no versions in their names: a new binary's page must not meet an old one's script.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
