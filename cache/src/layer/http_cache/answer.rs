//! What is kept of an answer.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{AGE, CONNECTION, DATE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::header::{PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::millis;
use crate::layer::http_cache::octets::Octets;

/// What the layer keeps: an answer, or on which header fields of the request it depends.
#[derive(Clone, Deserialize, Serialize)]
pub struct HttpAnswer(pub(super) Kind);

#[derive(Clone, Deserialize, Serialize)]
pub(super) enum Kind {
    Whole(Whole),
    /// Ask again with these fields in the key.
    Varies(Names),
    /// It was for one only: ask yourself. Never kept.
    #[serde(skip)]
    Other,
}

/// A whole answer.
#[derive(Clone)]
pub(super) struct Whole {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// How old it was when it was kept: it may have come from another cache, and took its time.
    pub(super) age: Duration,
}

#[derive(Clone)]
pub(super) struct Names(pub(super) Vec<HeaderName>);

/// As it is written.
#[derive(Deserialize, Serialize)]
struct Wire<N, B> {
    status: u16,
    headers: Vec<(N, B)>,
    body: B,
    /// In ms.
    age: u64,
}

/// What is about a connection, and not about the answer (RFC 9111, section 3.1), beside what `Connection` names.
const HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

// === impl Whole ===

impl Whole {
    pub(super) fn new(head: Parts, body: Bytes, age: Duration) -> Self {
        let mut headers = head.headers;
        for name in named(&headers, &CONNECTION).into_iter().chain(HOP_BY_HOP) {
            headers.remove(name);
        }
        headers.remove(AGE);
        Self { status: head.status, headers, body, age }
    }
}

/// What a field of names says; none of them when it is not text.
pub(super) fn named(headers: &HeaderMap, list: &HeaderName) -> Vec<HeaderName> {
    let lines = headers.get_all(list).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

/// From when an answer is must not be lost (RFC 9110, section 6.6.1).
pub(super) fn dated(headers: &mut HeaderMap, now: SystemTime) {
    if !headers.contains_key(DATE)
        && let Ok(now) = HeaderValue::from_str(&httpdate::fmt_http_date(now))
    {
        headers.insert(DATE, now);
    }
}

/// How old an answer is that came at `now`, `delay` after it was asked for (RFC 9111, section 4.2.3).
pub(super) fn age(headers: &HeaderMap, delay: Duration, now: SystemTime) -> Duration {
    let text = |name| headers.get(name)?.to_str().ok();
    let said = text(AGE).and_then(|age| age.trim().parse().ok()).map_or(Duration::ZERO, Duration::from_secs);
    let date = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    // Dates are in whole seconds.
    let apparent = date.and_then(|date| now.duration_since(date).ok()).unwrap_or_default().as_secs();
    said.saturating_add(delay).max(Duration::from_secs(apparent))
}

impl Serialize for Whole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), Octets(value.as_bytes())));
        let (status, body) = (self.status.as_u16(), Octets(&*self.body));
        Wire { status, headers: headers.collect(), body, age: millis(self.age) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let wire = Wire::<String, Octets<Bytes>>::deserialize(deserializer)?;
        let mut headers = HeaderMap::with_capacity(wire.headers.len());
        for (name, value) in wire.headers {
            let name: HeaderName = name.parse().map_err(D::Error::custom)?;
            headers.append(name, HeaderValue::from_maybe_shared(value.0).map_err(D::Error::custom)?);
        }
        let status = StatusCode::from_u16(wire.status).map_err(D::Error::custom)?;
        Ok(Self { status, headers, body: wire.body.0, age: Duration::from_millis(wire.age) })
    }
}

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(HeaderName::as_str))
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let names = Vec::<String>::deserialize(deserializer)?;
        let names: Result<_, _> = names.iter().map(|name| name.parse()).collect();
        names.map(Self).map_err(D::Error::custom)
    }
}

// === impl HttpAnswer ===

impl fmt::Debug for HttpAnswer {
    // What it says may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Whole(whole) => f.debug_tuple("HttpAnswer").field(&whole.status).finish(),
            Kind::Varies(Names(names)) => f.debug_tuple("HttpAnswer").field(names).finish(),
            Kind::Other => f.write_str("HttpAnswer"),
        }
    }
}
