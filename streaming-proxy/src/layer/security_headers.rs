//! Fields that make browsers careful, by tower-http.
//!
//! ```
//! use std::time::Duration;
//!
//! use tower::ServiceBuilder;
//! use tramline_streaming_proxy::layer::security_headers::{hsts, security_headers};
//!
//! # let service = tower::service_fn(|_: http::Request<()>| async {
//! #     Ok::<_, std::convert::Infallible>(http::Response::new(()))
//! # });
//! let service = ServiceBuilder::new()
//!     .layer(hsts(Duration::from_secs(365 * 86_400))) // on the listener with TLS only
//!     .layer(security_headers())
//!     .service(service);
//! # let _ = service;
//! ```

use std::time::Duration;

use http::HeaderValue;
use http::header::{REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use tower::layer::util::Stack;
use tower_http::set_header::SetResponseHeaderLayer;

/// A field with one value.
pub type Fixed = SetResponseHeaderLayer<HeaderValue>;

/// A type is what it says, and no script is found in an image.
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// Nobody shows this in a frame to steal clicks. A `Content-Security-Policy` with `frame-ancestors` overrides it.
const DENY: HeaderValue = HeaderValue::from_static("DENY");
/// Other sites learn where somebody came from, and not what was looked at there.
const REFERRER: HeaderValue = HeaderValue::from_static("strict-origin-when-cross-origin");

/// `X-Content-Type-Options: nosniff`, `X-Frame-Options: DENY` and
/// `Referrer-Policy: strict-origin-when-cross-origin` on every answer that does not have that field.
///
/// A `Content-Security-Policy` is not among them: what a page may load is known to who makes it.
#[must_use]
pub fn security_headers() -> Stack<Fixed, Stack<Fixed, Fixed>> {
    let [sniff, frame, referrer] =
        [(X_CONTENT_TYPE_OPTIONS, NOSNIFF), (X_FRAME_OPTIONS, DENY), (REFERRER_POLICY, REFERRER)]
            .map(|(name, value)| SetResponseHeaderLayer::if_not_present(name, value));
    Stack::new(sniff, Stack::new(frame, referrer))
}

/// `Strict-Transport-Security` (RFC 6797) on every answer, in place of what it has: browsers come back by https only,
/// for so long.
///
/// Only for what is served within TLS (section 7.2). A browser cannot be told otherwise before the time is over, so
/// begin with minutes; a year is usual in the end.
#[must_use]
pub fn hsts(max_age: Duration) -> Fixed {
    strict(&format!("max-age={}", max_age.as_secs()))
}

/// The same for all hosts below this one too (`includeSubDomains`), also those that others run and that have no TLS.
#[must_use]
pub fn hsts_with_subdomains(max_age: Duration) -> Fixed {
    strict(&format!("max-age={}; includeSubDomains", max_age.as_secs()))
}

fn strict(value: &str) -> Fixed {
    // INVARIANT: digits and letters are a value.
    let value = HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static("max-age=0"));
    SetResponseHeaderLayer::overriding(STRICT_TRANSPORT_SECURITY, value)
}
