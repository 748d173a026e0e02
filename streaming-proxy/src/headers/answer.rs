//! What a route writes anew in its answers.

use http::{HeaderMap, HeaderName};

use crate::config::{Answers, CookieDomain};

use crate::headers::location::{self, Places};
use crate::headers::scan::{Scan, Seen};
use crate::headers::set_cookie;
use crate::route::Matched;

/// Rewrites an answer of the route of `matched`; `scan` is of its fields.
pub(crate) fn rewrite(headers: &mut HeaderMap, scan: Scan, matched: Matched<'_>, places: Places<'_>) {
    let Answers { locations, cookie_paths, cookie_domain, strip_cors } = &matched.route().answers;
    if *locations && scan.has(Seen::Location) {
        location::rewrite(headers, places, |path| matched.invert(path));
    }
    if scan.has(Seen::SetCookie) && (*cookie_paths || *cookie_domain != CookieDomain::Keep) {
        let path = |path: &str| matched.cookie_path(path);
        set_cookie::rewrite(headers, cookie_paths.then_some(&path), cookie_domain);
    }
    if *strip_cors && scan.has(Seen::Cors) {
        let cors = |name: &&HeaderName| name.as_str().starts_with("access-control-");
        let cors: Vec<HeaderName> = headers.keys().filter(cors).cloned().collect();
        for name in cors {
            headers.remove(name);
        }
    }
}
