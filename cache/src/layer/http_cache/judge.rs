//! Whether an answer is kept, and for how long.

use std::time::Duration;

use http::header::{CONTENT_RANGE, CONTENT_TYPE, DATE, EXPIRES, HeaderName, SET_COOKIE, VARY};
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use crate::layer::http_cache::answer::named;
use crate::layer::http_cache::directives::Directives;
use crate::layer::http_cache::key::{HttpKey, MAX_VARY};
use crate::layer::http_cache::scope::Audience;
use crate::policy::Policy;

/// What is done with an answer.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It is kept: so long as a fresh one, and after that as an old one for at most so long as the policy says, or less.
    Keep { ttl: Duration, stale: Option<Duration> },
    /// It is for all who asked at once, and not kept.
    Share,
    /// As `Share`, and something old is better, if the policy allows it.
    Failed,
    /// It depends on more fields of the request than was known.
    Varies(Vec<HeaderName>),
    /// It is for who asked, for this reason.
    Pass(&'static str),
}

/// What an answer says of its life, in seconds.
struct Life {
    /// None: nothing.
    fresh: Option<u64>,
    /// Whether that was said for shared caches.
    shared: bool,
}

/// The verdict on an answer of this age for `audience`, that was asked for by `key`.
pub(super) fn judge(
    head: &Parts,
    age: Duration,
    audience: &Audience,
    key: &HttpKey,
    policy: &Policy,
) -> Verdict {
    let headers = &head.headers;
    let said = Directives::of(headers);
    if let Some(why) = forbidden(head, &said, audience) {
        return Verdict::Pass(why);
    }
    let names = named(headers, &VARY);
    let unknown: Vec<_> = names.into_iter().filter(|name| !key.varies_by(name)).collect();
    if key.fields() + unknown.len() > MAX_VARY {
        return Verdict::Pass("vary");
    }
    match kept(head, age, &said, policy) {
        verdict if unknown.is_empty() => verdict,
        Verdict::Keep { .. } => Verdict::Varies(unknown),
        // Who waited may have asked with other values.
        Verdict::Pass(why) => Verdict::Pass(why),
        _ => Verdict::Pass("vary"),
    }
}

/// Why nobody else may get it.
fn forbidden(head: &Parts, said: &Directives, audience: &Audience) -> Option<&'static str> {
    let headers = &head.headers;
    let text = |name: &HeaderName| headers.get_all(name).iter().all(|value| value.to_str().is_ok());
    let everything = |value: &http::HeaderValue| value.as_bytes().contains(&b'*');
    let events = |kind: &[u8]| kind.to_ascii_lowercase().starts_with(b"text/event-stream");
    let partial = head.status == StatusCode::PARTIAL_CONTENT || headers.contains_key(CONTENT_RANGE);
    let private = said.private && !matches!(audience, Audience::User(_));
    [
        (headers.contains_key(SET_COOKIE), "set_cookie"),
        (said.no_store, "no_store"),
        (said.no_cache, "no_cache"),
        (private, "private"),
        (!text(&VARY) || headers.get_all(VARY).iter().any(everything), "vary"),
        (headers.get(CONTENT_TYPE).is_some_and(|kind| events(kind.as_bytes())), "stream"),
        (partial, "partial"),
    ]
    .into_iter()
    .find_map(|(forbidden, why)| forbidden.then_some(why))
}

fn kept(head: &Parts, age: Duration, said: &Directives, policy: &Policy) -> Verdict {
    let life = life(&head.headers, said);
    let left = life.fresh.map(|fresh| Duration::from_secs(fresh).saturating_sub(age));
    let usual = match head.status.as_u16() {
        200 | 203 | 204 | 300 | 301 | 308 => policy.ttl,
        404 | 410 => match policy.negative_ttl {
            Some(ttl) => ttl,
            None if left.is_none_or(|left| !left.is_zero()) => return Verdict::Share,
            None => Duration::ZERO,
        },
        500..=599 => return Verdict::Failed,
        _ => return Verdict::Pass("status"),
    };
    let ttl = left.map_or(usual, |left| left.min(usual));
    if ttl.is_zero() {
        return Verdict::Pass("no_life");
    }
    // That there is nothing is not answered as something old, here as elsewhere.
    let stale = if head.status.is_client_error() { Some(Duration::ZERO) } else { stale(said, &life, policy) };
    Verdict::Keep { ttl, stale }
}

/// For how long something old may be answered at most: as it says itself, for the way in which the policy does it.
fn stale(said: &Directives, life: &Life, policy: &Policy) -> Option<Duration> {
    if said.revalidate {
        return Some(Duration::ZERO);
    }
    let seconds = match (said.while_revalidate, said.if_error) {
        // `s-maxage` is `proxy-revalidate` too (RFC 9111, section 5.2.2.10), unless the answer says otherwise itself.
        (None, None) if life.shared => 0,
        // The policy of who runs the service is the permission (section 4.2.4).
        (None, None) => return None,
        (behind, _) if policy.soft_timeout.is_some() => behind.unwrap_or(0),
        (behind, failed) => failed.or(behind).unwrap_or(0),
    };
    Some(Duration::from_secs(seconds))
}

/// RFC 9111, section 4.2.1.
fn life(headers: &HeaderMap, said: &Directives) -> Life {
    if let Some(fresh) = said.s_maxage {
        return Life { fresh: Some(fresh), shared: true };
    }
    let fresh = said.max_age.or_else(|| headers.contains_key(EXPIRES).then(|| expires(headers)));
    Life { fresh, shared: false }
}

/// For how many seconds from its own date on; zero when that cannot be read, or there are two.
fn expires(headers: &HeaderMap) -> u64 {
    let time = |name| httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok();
    if headers.get_all(EXPIRES).iter().count() > 1 {
        return 0;
    }
    let life = time(EXPIRES).zip(time(DATE)).and_then(|(end, from)| end.duration_since(from).ok());
    life.map_or(0, |life| life.as_secs())
}

#[cfg(test)]
mod tests;
