//! Answers compressed on their way, by tower-http.
//!
//! **Secrets.** Where an answer holds a secret and something that an attacker chooses (a search word that is repeated on
//! the page, say), its compressed length tells of the secret (CRIME, BREACH), within TLS too. Do not put this in front
//! of what answers so; a service says it of one answer by `Cache-Control: no-transform`.

use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName};
use http::{HeaderMap, HeaderValue, Response};
use tower::layer::util::Stack;
use tower_http::compression::predicate::Predicate;
use tower_http::compression::{CompressionLayer, CompressionLevel};
use tower_http::set_header::{MakeHeaderValue, SetResponseHeaderLayer};

/// gzip and br for answers that are [`Compressible`], as the client's `Accept-Encoding` asks.
///
/// `Vary` says so, and a strong `ETag` becomes a weak one, since what was compressed is other bytes (RFC 9110, 8.8.3.3).
/// Quality 4 for both: what nginx's users take for answers made on the fly, a tenth larger than the best at a fraction of
/// its time.
#[must_use]
pub fn compression() -> Stack<CompressionLayer<Compressible>, SetResponseHeaderLayer<WeakEtag>> {
    let compress = CompressionLayer::new().quality(CompressionLevel::Precise(4)).compress_when(Compressible);
    Stack::new(compress, SetResponseHeaderLayer::overriding(ETAG, WeakEtag))
}

/// Says which answers are compressed: those of 860 bytes or more, or of unknown length, whose type is read whole and
/// shrinks: `text/*`, JavaScript, JSON and XML with all types that are written in them (`…+json`, `…+xml`, SVG too), and
/// WebAssembly.
///
/// Never what is encoded already or a part (tower-http sees to both), what has `Cache-Control: no-transform` or a digest of its content, and
/// never event streams or other types: in a compressor, an event would wait for the next one.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Compressible;

/// Weakens the `ETag` of an answer that has a `Content-Encoding`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct WeakEtag;

/// Akamai's bound: less fits one packet as it is.
const MIN_LENGTH: u64 = 860;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const DIGEST: HeaderName = HeaderName::from_static("digest");

// === impl Compressible ===

impl Predicate for Compressible {
    fn should_compress<B: http_body::Body>(&self, response: &Response<B>) -> bool {
        let headers = response.headers();
        let stated =
            headers.get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let length = response.body().size_hint().exact().or(stated);
        length.is_none_or(|length| length >= MIN_LENGTH)
            && ![CONTENT_DIGEST, DIGEST].iter().any(|name| headers.contains_key(name))
            && may_transform(headers)
            && is_text(headers)
    }
}

// === impl WeakEtag ===

impl<B> MakeHeaderValue<Response<B>> for WeakEtag {
    fn make_header_value(&mut self, response: &Response<B>) -> Option<HeaderValue> {
        let tag = response.headers().get(ETAG)?.as_bytes();
        let is_strong = tag.starts_with(b"\"");
        if !is_strong || !response.headers().contains_key(CONTENT_ENCODING) {
            return None;
        }
        HeaderValue::from_bytes(&[b"W/", tag].concat()).ok()
    }
}

fn may_transform(headers: &HeaderMap) -> bool {
    !headers.get_all(CACHE_CONTROL).iter().any(|field| {
        let mut directives = field.as_bytes().split(|byte| *byte == b',');
        directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
    })
}

fn is_text(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.split_once('/') {
        Some(("text", kind)) => kind != "event-stream",
        Some(("application", kind)) => {
            matches!(kind, "javascript" | "json" | "xml" | "manifest+json" | "wasm")
                || kind.ends_with("+json")
                || kind.ends_with("+xml")
        }
        Some(("image", kind)) => kind == "svg+xml",
        _ => false,
    }
}
