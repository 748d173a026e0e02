//! All routes, and the one for a request.

use std::sync::{Arc, OnceLock};

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri};

use crate::error::{ErrorKind, ProxyError, Sent, Stage};
use crate::metrics::RouteMetrics;
use crate::path::NormalPath;
use crate::route::Route;
use crate::route::index::Index;
use crate::route::matcher::{Fault, Pattern, check_host};
use crate::route::rewrite::Compiled;
use crate::upstream::Upstream;

/// The routes of a [`Forwarder`](crate::Forwarder).
///
/// Of those that match a request whole (host, path, method and fields), this one gets it:
///
/// 1. by host: an exact name before `*.suffix`, a longer suffix before a shorter one, and any host last;
/// 2. by path, segment by segment from the left: a literal before a parameter, a parameter before the rest of a path or
///    what follows a prefix, and a path that ends there before those. So an exact path comes first, and of prefixes the
///    longest;
/// 3. by conditions: one for certain methods before one for all, then one with more fields before one with fewer;
/// 4. by order: the first in the table.
///
/// The cost of finding it is one step for each segment of the path, whatever the number of routes, but for those that
/// differ in methods and fields alone: they are looked at one after the other.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// In the order of the table.
    entries: Vec<Entry>,
    pub(super) index: Index,
}

/// The route for a request.
#[derive(Clone, Copy, Debug)]
pub struct Matched<'a> {
    entry: &'a Entry,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Its place in the table.
    place: usize,
    route: Route,
    pattern: Pattern,
    rewrite: Compiled,
    /// Not before the first request, so that a table that is only looked at is in no metrics.
    metrics: Arc<OnceLock<Arc<RouteMetrics>>>,
}

// === impl Routes ===

impl Routes {
    /// The table of these routes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if a host, a path or a rewrite of a route is none, as they say, or if two routes match the
    /// same, so that one of them would never be found.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Result<Self, ProxyError> {
        Self::checked(routes).map_err(|faults| {
            let (index, fault) = faults.first().copied().unwrap_or_default();
            ProxyError::config(fault).with(format!("route {}", index + 1))
        })
    }

    /// As [`new`](Self::new), with all that is wrong: the place of a route in `routes`, and what it is.
    pub(crate) fn checked(routes: impl IntoIterator<Item = Route>) -> Result<Self, Vec<(usize, Fault)>> {
        let mut faults = Vec::new();
        let mut entries: Vec<Entry> = Vec::new();
        for (place, route) in routes.into_iter().enumerate() {
            let mut note = |fault| faults.push((place, fault));
            if let Err(fault) = route.host.as_deref().map_or(Ok(()), check_host) {
                note(fault);
            }
            match Pattern::new(&route.path) {
                Err(fault) => note(fault),
                Ok(pattern) => {
                    let mut names: Vec<&str> = pattern.names().collect();
                    names.sort_unstable();
                    if names.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
                        note("two parameters of the same name");
                    }
                    match route.rewrite.compile(&pattern) {
                        Err(fault) => note(fault),
                        Ok(rewrite) => {
                            entries.push(Entry { place, route, pattern, rewrite, metrics: Arc::default() })
                        }
                    }
                }
            }
        }
        let mut order: Vec<usize> = (0..entries.len()).collect();
        let rank = |place: &usize| entries.get(*place).map(Entry::rank);
        // Stable: those of one rank stay in their order.
        order.sort_by_key(rank);
        let mut index = Index::default();
        for place in order {
            if let Some(Entry { route, pattern, .. }) = entries.get(place) {
                index.insert(route.host.as_deref(), pattern, place);
            }
        }
        index.each_place(&mut |list| {
            for (count, later) in list.iter().enumerate() {
                let is_twin = |earlier: &usize| match (entries.get(*earlier), entries.get(*later)) {
                    (Some(earlier), Some(later)) => earlier.is_twin(later),
                    _ => false,
                };
                if list.iter().take(count).any(is_twin) {
                    let place = entries.get(*later).map_or(0, |later| later.place);
                    faults.push((place, "a route before it matches the same"));
                }
            }
        });
        faults.sort_unstable();
        if faults.is_empty() { Ok(Self { entries, index }) } else { Err(faults) }
    }

    /// The route for a request to this `host` (without a port), with this path, method and these fields.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoRoute`] if there is none, [`ErrorKind::MethodRefused`] if there are some for other methods
    /// ([`ProxyError::allow`] has them), [`ErrorKind::BadRequest`] if there is a `%2F` in `path` and the route does not
    /// [allow it](Route::encoded_slashes).
    pub fn find(
        &self,
        host: Option<&str>,
        path: &NormalPath<'_>,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Matched<'_>, ProxyError> {
        let found = self.index.search(host, path.as_str(), &mut |list| {
            let mut entries = list.iter().filter_map(|place| self.entries.get(*place));
            entries.find(|entry| entry.route.admits_method(method) && entry.route.admits_headers(headers))
        });
        let entry = found
            .ok_or_else(|| self.nothing(host, path, headers))
            .map_err(|error| error.when(Stage::Route, Sent::Not))?;
        if path.has_encoded_slash() && !entry.route.encoded_slashes {
            return Err(ProxyError::bad_request("an encoded slash in the path").when(Stage::Route, Sent::Not));
        }
        Ok(Matched { entry })
    }

    /// Why there is no route.
    fn nothing(&self, host: Option<&str>, path: &NormalPath<'_>, headers: &HeaderMap) -> ProxyError {
        let mut methods: Vec<&str> = Vec::new();
        self.index.search(host, path.as_str(), &mut |list| {
            let routes = list.iter().filter_map(|place| self.entries.get(*place)).map(|entry| &entry.route);
            for route in routes.filter(|route| route.admits_headers(headers)) {
                methods.extend(route.methods.iter().map(Method::as_str));
            }
            None::<()>
        });
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.sort_unstable();
        methods.dedup();
        match HeaderValue::from_str(&methods.join(", ")) {
            Ok(allow) if !methods.is_empty() => {
                ProxyError::new(ErrorKind::MethodRefused).because("no route for this method").allowing(allow)
            }
            _ => ProxyError::new(ErrorKind::NoRoute),
        }
    }

    /// The same routes, whose upstreams go on with what those of `before` know.
    pub(crate) fn succeeding(mut self, before: &Self) -> Self {
        let mut successors: Vec<(Upstream, Upstream)> = Vec::new();
        for Entry { route, .. } in &mut self.entries {
            // One upstream of several routes stays one.
            let known = successors.iter().find(|(new, _)| new.is_same(&route.upstream));
            let successor = match known {
                Some((_, successor)) => successor.clone(),
                None => {
                    let old = before.iter().map(|route| &route.upstream);
                    let successor = old.fold(route.upstream.clone(), Upstream::succeeding);
                    successors.push((route.upstream.clone(), successor.clone()));
                    successor
                }
            };
            route.upstream = successor;
        }
        self
    }

    /// Begins with what their upstreams do beside the requests.
    pub(crate) fn start(&self) {
        self.iter().for_each(|route| route.upstream.start());
    }

    /// All routes, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.entries.iter().map(|entry| &entry.route)
    }
}

// === impl Matched ===

impl<'a> Matched<'a> {
    /// The route.
    #[must_use]
    pub fn route(&self) -> &'a Route {
        &self.entry.route
    }

    pub(crate) fn metrics(&self) -> &'a Arc<RouteMetrics> {
        let Entry { route, metrics, .. } = self.entry;
        metrics.get_or_init(|| Arc::new(RouteMetrics::new(route.label(), route.upstream.shared_name())))
    }

    /// The path with which a client asks for what the upstream calls `path`, if this route leads there.
    pub(crate) fn invert(&self, path: &str) -> Option<String> {
        self.entry.rewrite.invert(path)
    }

    /// The path for a client's cookie that the upstream wants for `path`.
    pub(crate) fn cookie_path(&self, path: &str) -> String {
        self.entry.rewrite.cookie_path(path)
    }

    /// The origin-form target for the upstream: `path`, which is the normal form of that of `uri` and was found to be
    /// this route's, as it is rewritten, and the query as it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::BadRequest`] if it becomes too long to be a target.
    pub fn target(&self, uri: &Uri, path: &NormalPath<'_>) -> Result<PathAndQuery, ProxyError> {
        let mut target = match self.entry.rewrite.apply(path.as_str()) {
            Some(rewritten) => rewritten,
            None => {
                // In absolute form a path may be missing, which is no target by itself.
                if path.is_unchanged()
                    && uri.scheme().is_none()
                    && let Some(target) = uri.path_and_query()
                {
                    // The common case costs a reference count.
                    return Ok(target.clone());
                }
                path.as_str().to_owned()
            }
        };
        if let Some(query) = uri.query() {
            target.push('?');
            target.push_str(query);
        }
        PathAndQuery::try_from(target)
            .map_err(|cause| ProxyError::bad_request("the rewritten target").with(cause))
    }
}

// === impl Entry ===

impl Entry {
    /// Where its conditions put it among those of the same host and path; the lowest first.
    fn rank(&self) -> (bool, std::cmp::Reverse<usize>) {
        (self.route.methods.is_empty(), std::cmp::Reverse(self.route.headers.len()))
    }

    /// Whether `other`, of the same host and path, has the same conditions.
    fn is_twin(&self, other: &Self) -> bool {
        let (a, b) = (&self.route, &other.route);
        let methods = |a: &Route, b: &Route| a.methods.iter().all(|method| b.methods.contains(method));
        let headers = |a: &Route, b: &Route| a.headers.iter().all(|header| b.headers.contains(header));
        methods(a, b) && methods(b, a) && headers(a, b) && headers(b, a)
    }
}
