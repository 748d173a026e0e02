//! What an answer depends on.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use crate::key::{CacheKey, KeyParts, Tag};
use crate::layer::http_cache::address::{carried, host};
use crate::layer::http_cache::scope::{Audience, Scope};

/// What the layer keeps an answer by: for whom it is, host, path, query, and the header fields on which it depends.
///
/// To end answers, give them tags.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct HttpKey {
    target: Arc<Target>,
    vary: Arc<[Varied]>,
}

#[derive(Eq, Hash, PartialEq)]
struct Target {
    audience: Audience,
    /// Empty, mostly: only HTTP/2 and proxies' requests say it.
    scheme: Box<str>,
    /// What of the address the path is without. Empty, mostly.
    place: Box<str>,
    host: Box<str>,
    path: Box<str>,
    query: Option<Box<str>>,
}

/// A header field of the request, and what it says: nothing when there is none.
#[derive(Clone, Eq, Hash, PartialEq)]
struct Varied {
    name: HeaderName,
    value: Option<Box<str>>,
}

/// On how many header fields an answer may depend: each is another answer for each of its values.
pub(super) const MAX_VARY: usize = 8;

/// The longest target that is cached, in bytes: what is longer is made up by somebody.
const MAX_TARGET: usize = 2048;

/// The longest value that is kept as it is; of a longer one, its hash.
const MAX_VALUE: usize = 64;

// === impl HttpKey ===

impl HttpKey {
    /// None when it would be too long, or does not say whom the answer is for, or of which host.
    pub(super) fn new(request: &Parts, scope: &Scope) -> Option<Self> {
        let uri = &request.uri;
        let (host, place) = (host(request, scope)?, scope.place());
        let (audience, query) = (scope.audience.clone(), uri.query());
        let who = match &audience {
            Audience::Public => 0,
            // Somebody without a name is not one and the same.
            Audience::Role(name) | Audience::User(name) if name.is_empty() => return None,
            Audience::Role(name) | Audience::User(name) => name.len(),
        };
        if who + place.len() + host.len() + uri.path().len() + query.map_or(0, str::len) > MAX_TARGET {
            return None;
        }
        let query = query.map(|query| if scope.sorted_query { sorted(query) } else { query.into() });
        let (scheme, path) = (uri.scheme_str().unwrap_or_default().into(), uri.path().into());
        let target = Target { audience, scheme, place: place.into(), host, path, query };
        let key = Self { target: Arc::new(target), vary: Arc::new([]) };
        key.with_vary(&scope.vary, &request.headers)
    }

    /// The key of the answer to this request among those that depend on these fields, too; none when they are too many.
    pub(super) fn with_vary(self, names: &[HeaderName], headers: &HeaderMap) -> Option<Self> {
        if names.iter().all(|name| self.varies_by(name)) {
            return Some(self);
        }
        let mut vary = self.vary.to_vec();
        for name in names {
            if vary.iter().all(|varied| varied.name != name) {
                vary.push(Varied { name: name.clone(), value: value(headers, name) });
            }
        }
        if vary.len() > MAX_VARY {
            return None;
        }
        vary.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
        Some(Self { target: self.target, vary: vary.into() })
    }

    pub(super) fn varies_by(&self, name: &HeaderName) -> bool {
        self.vary.iter().any(|varied| varied.name == name)
    }

    /// The tags of what is kept of this address.
    pub(super) fn addresses(&self) -> Vec<Tag> {
        let Target { audience, place, host, path, .. } = &*self.target;
        carried(audience, place, host, path)
    }

    /// How many fields it has.
    pub(super) fn fields(&self) -> usize {
        self.vary.len()
    }
}

impl CacheKey for HttpKey {
    fn write(&self, parts: &mut KeyParts) {
        let Target { audience, scheme, place, host, path, query } = &*self.target;
        let (kind, who) = match audience {
            Audience::Public => ("p", ""),
            Audience::Role(role) => ("r", &**role),
            Audience::User(id) => ("u", &**id),
        };
        parts.push(kind);
        parts.push(who);
        parts.push(scheme);
        parts.push(place);
        parts.push(host);
        parts.push(path);
        // Nothing is something else than what is empty.
        parts.push(query.as_deref());
        for Varied { name, value } in &*self.vary {
            parts.push(name.as_str());
            parts.push(value.as_deref());
        }
    }
}

impl fmt::Debug for HttpKey {
    // A path, a query, a user may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpKey").field("audience", &self.target.audience).finish_non_exhaustive()
    }
}

/// The value of a field, line by line. Not itself when it is a secret, or long.
///
/// RFC 9111, section 4.1, would let lines be joined and the space around commas go. Whether the service reads them so,
/// nobody knows here.
fn value(headers: &HeaderMap, name: &HeaderName) -> Option<Box<str>> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    if lines.is_empty() {
        return None;
    }
    // No value contains it.
    let all = lines.join(&b'\n');
    match std::str::from_utf8(&all) {
        Ok(text) if text.len() <= MAX_VALUE && name != AUTHORIZATION && name != COOKIE => {
            Some(format!("={text}").into())
        }
        _ => {
            let mut hash = "#".to_owned();
            for byte in Sha256::digest(&all) {
                let _ = write!(hash, "{byte:02x}");
            }
            Some(hash.into())
        }
    }
}

/// By name; those of one name keep their order, which may mean something. As it is where a name is spelled in another
/// way: it may be the same one.
fn sorted(query: &str) -> Box<str> {
    let name = |parameter: &str| parameter.split('=').next().unwrap_or_default().contains(['%', '+']);
    if query.split('&').any(name) {
        return query.into();
    }
    let mut parameters: Vec<&str> = query.split('&').collect();
    parameters.sort_by_key(|parameter| parameter.split('=').next());
    parameters.join("&").into()
}

#[cfg(test)]
mod tests;
