//! All routes, and the one for a path.

use crate::error::{ErrorKind, ProxyError, Sent, Stage};
use crate::path::{self, NormalPath};
use crate::route::{Rewrite, Route};
use crate::upstream::Upstream;

/// The routes of a [`Forwarder`](crate::Forwarder). The longest prefix wins.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// INVARIANT: longest prefix first, no two the same; prefixes without their trailing slash.
    routes: Vec<Route>,
}

// === impl Routes ===

impl Routes {
    /// The table of these routes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if a prefix or a replacement is no path in its [normal form](crate::path::normal) (an empty
    /// one is `/`), or if two routes have the same prefix.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Result<Self, ProxyError> {
        let mut routes: Vec<Route> = routes.into_iter().collect();
        for route in &mut routes {
            let trimmed = route.prefix.trim_end_matches('/').len();
            route.prefix.truncate(trimmed);
            check(&route.prefix)?;
            if let Rewrite::Prefix(replacement) = &route.rewrite {
                check(replacement.trim_end_matches('/'))?;
            }
        }
        routes.sort_by(|a, b| b.prefix.len().cmp(&a.prefix.len()).then_with(|| a.prefix.cmp(&b.prefix)));
        if routes.windows(2).any(|pair| matches!(pair, [a, b] if a.prefix == b.prefix)) {
            return Err(ProxyError::config("two routes with the same prefix"));
        }
        Ok(Self { routes })
    }

    /// The route for this path.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoRoute`] if there is none, [`ErrorKind::BadRequest`] if there is a `%2F` in `path` and the route
    /// does not [allow it](Route::encoded_slashes).
    pub fn find(&self, path: &NormalPath<'_>) -> Result<&Route, ProxyError> {
        let route = self
            .routes
            .iter()
            .find(|route| {
                path.as_str()
                    .strip_prefix(route.prefix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .ok_or_else(|| ProxyError::new(ErrorKind::NoRoute).when(Stage::Route, Sent::Not))?;
        if path.has_encoded_slash() && !route.encoded_slashes {
            return Err(ProxyError::bad_request("an encoded slash in the path").when(Stage::Route, Sent::Not));
        }
        Ok(route)
    }

    /// The same routes, whose upstreams go on with what those of `before` know.
    pub(crate) fn succeeding(mut self, before: &Self) -> Self {
        let mut successors: Vec<(Upstream, Upstream)> = Vec::new();
        for route in &mut self.routes {
            // One upstream of several routes stays one.
            let known = successors.iter().find(|(new, _)| new.is_same(&route.upstream));
            let successor = match known {
                Some((_, successor)) => successor.clone(),
                None => {
                    let old = before.routes.iter().map(|route| &route.upstream);
                    let successor = old.fold(route.upstream.clone(), Upstream::succeeding);
                    successors.push((route.upstream.clone(), successor.clone()));
                    successor
                }
            };
            route.upstream = successor;
        }
        self
    }

    /// All routes, longest prefix first.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }
}

fn check(prefix: &str) -> Result<(), ProxyError> {
    // Nothing could match another form, or what is sent would be one.
    if prefix.is_empty() || path::normal(prefix).is_ok_and(|normal| normal.is_unchanged()) {
        Ok(())
    } else {
        Err(ProxyError::config("a prefix must be a path in its normal form"))
    }
}
