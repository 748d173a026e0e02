//! Which upstream a path belongs to, and what path it sees.

mod table;

use http::Uri;
use http::uri::PathAndQuery;

use crate::config::Timeouts;
use crate::error::ProxyError;
use crate::path::NormalPath;
use crate::upstream::Upstream;

pub use crate::route::table::Routes;

/// One entry of [`Routes`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Route {
    /// The path this route is for, and everything below it: `/api` has `/api` and `/api/x`, never `/apiary`. In its
    /// [normal form](crate::path::normal).
    pub prefix: String,
    /// Where its requests go.
    pub upstream: Upstream,
    /// What path the upstream sees. The query always stays as it is.
    pub rewrite: Rewrite,
    /// Its times.
    pub timeouts: Timeouts,
    /// Whether `%2F` in a path is data to the upstream, and passed on. Off by default: to many it is a slash, and a
    /// path that was matched as one would be served as another.
    pub encoded_slashes: bool,
}

/// What path an upstream sees.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Rewrite {
    /// The client's.
    #[default]
    Keep,
    /// The client's with the route's prefix replaced by this one. An empty string or `/` takes the prefix away.
    Prefix(String),
}

// === impl Route ===

impl Route {
    /// A route that keeps the path, with the default times.
    #[must_use]
    pub fn new(prefix: impl Into<String>, upstream: Upstream) -> Self {
        Self {
            prefix: prefix.into(),
            upstream,
            rewrite: Rewrite::Keep,
            timeouts: Timeouts::default(),
            encoded_slashes: false,
        }
    }

    /// The same route for an upstream that takes `%2F` for data.
    #[must_use]
    pub fn with_encoded_slashes(mut self) -> Self {
        self.encoded_slashes = true;
        self
    }

    /// The same route with this rewrite.
    #[must_use]
    pub fn with_rewrite(mut self, rewrite: Rewrite) -> Self {
        self.rewrite = rewrite;
        self
    }

    /// The same route with these times.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The origin-form target for the upstream: `path`, which is the normal form of that of `uri` and was found to be
    /// this route's, as it is rewritten.
    pub(crate) fn target(&self, uri: &Uri, path: &NormalPath<'_>) -> Result<PathAndQuery, ProxyError> {
        let mut target;
        match &self.rewrite {
            Rewrite::Keep => {
                if path.is_unchanged()
                    && let Some(target) = uri.path_and_query()
                {
                    // The common case costs a reference count.
                    return Ok(target.clone());
                }
                target = path.as_str().to_owned();
            }
            Rewrite::Prefix(replacement) => {
                // INVARIANT: the prefix matched, on a segment boundary.
                let rest = path.as_str().get(self.prefix.len()..).unwrap_or_default();
                let replacement = replacement.trim_end_matches('/');
                target = String::with_capacity(replacement.len() + rest.len() + 1);
                target.push_str(replacement);
                target.push_str(rest);
                if target.is_empty() {
                    target.push('/');
                }
            }
        }
        if let Some(query) = uri.query() {
            target.push('?');
            target.push_str(query);
        }
        PathAndQuery::try_from(target)
            .map_err(|cause| ProxyError::bad_request("the rewritten target").with(cause))
    }
}

#[cfg(test)]
mod tests;
