//! Whatever path is asked for: it has one spelling, which is matched and sent, and the route is the one that a plain
//! search by the documented precedence finds.
//!
//! Lines of a table, then requests:
//!
//! ```text
//! exact * /health
//! prefix shop.example /api strip=/api add=/v2
//! pattern *.shop.example /users/{id}/{*rest} template=/u/{id}/{*rest} get slash
//! ? shop.example /api/users?limit=1
//! ```
#![no_main]

use std::cmp::Reverse;
use std::sync::LazyLock;
use std::time::Duration;

use http::{HeaderMap, Method, Uri};
use libfuzzer_sys::fuzz_target;
use tramline_streaming_proxy::config::Timeouts;
use tramline_streaming_proxy::path::{self, NormalPath};
use tramline_streaming_proxy::route::{PathMatch, Rewrite};
use tramline_streaming_proxy::{Route, Routes, Upstream, UpstreamConfig};

static UPSTREAM: LazyLock<Upstream> =
    LazyLock::new(|| Upstream::new("u", ["127.0.0.1:1"], UpstreamConfig::default()).expect("an upstream"));

fuzz_target!(|text: &str| {
    let mut routes = Vec::new();
    let mut requests = Vec::new();
    for line in text.lines().take(24) {
        match line.strip_prefix("? ") {
            Some(request) => requests.extend(request.split_once(' ')),
            None => routes.extend(route(line)),
        }
    }
    for (place, route) in routes.iter_mut().enumerate() {
        // Its mark, which tells it from one that says the same.
        let mut times = Timeouts::default();
        times.total = Some(Duration::from_secs(place as u64));
        route.timeouts = times;
    }
    let Ok(table) = Routes::new(routes.clone()) else { return };
    for (host, target) in requests {
        if let Ok(uri) = target.parse::<Uri>() {
            check(&table, &routes, host, &uri);
        }
    }
});

fn check(table: &Routes, routes: &[Route], host: &str, uri: &Uri) {
    let Ok(normal) = path::normal(uri.path()) else { return };
    let again = path::normal(normal.as_str()).expect("a normal path is one");
    assert!(
        again.is_unchanged() && again.as_str() == normal.as_str(),
        "{uri} is {normal:?}, and then {again:?}"
    );
    assert_eq!(again.has_encoded_slash(), normal.has_encoded_slash());
    assert_plain(normal.as_str());

    let host = (host != "-").then_some(host);
    for method in [Method::GET, Method::HEAD, Method::POST] {
        let best = routes.iter().enumerate().filter_map(|(place, route)| {
            Some((rank(route, host, normal.as_str(), &method)?, Reverse(place)))
        });
        let best = best.max().map(|(_, Reverse(place))| place);
        let best = best.filter(|place| !normal.has_encoded_slash() || routes[*place].encoded_slashes);
        let found = find(table, host, &normal, &method, uri);
        assert_eq!(found.as_ref().map(|(place, _)| *place), best, "{method} {host:?} {uri}");
        let Some((place, target)) = &found else { continue };
        sent(&routes[*place], &normal, uri, target);
        // Another spelling of the same goes the same way.
        if let Ok(other) = respelled(uri).parse::<Uri>() {
            let spelled = path::normal(other.path()).expect("another spelling of a normal path");
            assert_eq!(spelled.as_str(), normal.as_str(), "{uri} and {other}");
            assert_eq!(find(table, host, &spelled, &method, &other), found, "{uri} and {other}");
        }
    }
}

fn find(
    table: &Routes,
    host: Option<&str>,
    path: &NormalPath<'_>,
    method: &Method,
    uri: &Uri,
) -> Option<(usize, String)> {
    let found = table.find(host, path, method, &HeaderMap::new()).ok()?;
    let place = found.route().timeouts.total.expect("its mark").as_secs();
    let target = found.target(uri, path).expect("a target").to_string();
    Some((usize::try_from(place).expect("its place"), target))
}

/// What is sent is normal, has the query as it came, and is the path that was matched but for the rewrite.
fn sent(route: &Route, path: &NormalPath<'_>, uri: &Uri, target: &str) {
    let (sent, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    assert_eq!(query, uri.query(), "{uri} became {target}");
    assert!(path::normal(sent).is_ok_and(|normal| normal.is_unchanged()), "{uri} became {target}");
    assert_plain(sent);
    match &route.rewrite {
        Rewrite::Keep => assert_eq!(sent, path.as_str(), "{uri}"),
        Rewrite::Replace { strip, add } => {
            let rest = path.as_str().strip_prefix(strip.trim_end_matches('/'));
            let rest = rest.unwrap_or_else(|| panic!("{uri} by {route}, which strips {strip}"));
            let wanted = format!("{}{rest}", add.trim_end_matches('/'));
            assert_eq!(sent, if wanted.is_empty() { "/" } else { &wanted }, "{uri} by {route}");
        }
        _ => {}
    }
}

/// Nothing that an upstream could walk upwards by, decoded once or not.
fn assert_plain(path: &str) {
    assert!(path.starts_with('/') && !path.contains("//") && !path.contains('\\'), "{path}");
    let decoded = path.replace("%2E", ".").replace("%2e", ".").replace("%2F", "/").replace("%2f", "/");
    for segment in decoded.split('/') {
        let segment = segment.split(';').next().unwrap_or_default();
        assert!(segment != "." && segment != "..", "{path}");
    }
    assert!(!path.contains("%00") && !path.contains("%5C") && !path.contains("%5c"), "{path}");
}

/// The same path with letters and digits escaped, and slashes doubled.
fn respelled(uri: &Uri) -> String {
    let mut spelled = String::new();
    let mut escape = 0;
    for (place, byte) in uri.path().bytes().enumerate() {
        let inside = escape > 0;
        escape = if byte == b'%' { 2 } else { u8::saturating_sub(escape, 1) };
        match byte {
            b'/' => spelled.push_str("//"),
            _ if !byte.is_ascii() || byte.is_ascii_alphanumeric() && !inside && place % 2 == 0 => {
                spelled.push_str(&format!("%{byte:02x}"));
            }
            _ => spelled.push(char::from(byte)),
        }
    }
    if let Some(query) = uri.query() {
        spelled.push('?');
        spelled.push_str(query);
    }
    spelled
}

/// What the documentation says of one route and one request: the greatest wins; none if it does not match.
fn rank(
    route: &Route,
    host: Option<&str>,
    path: &str,
    method: &Method,
) -> Option<(u8, usize, Vec<u8>, bool)> {
    let (kind, length) = match (route.host.as_deref(), host) {
        (None, _) => (0, 0),
        (Some(_), None) => return None,
        (Some(wanted), Some(host)) => {
            let host = host.to_ascii_lowercase();
            let host = host.strip_suffix('.').unwrap_or(&host);
            match wanted.strip_prefix('*') {
                Some(suffix) if host.len() > suffix.len() && host.ends_with(suffix) => (1, suffix.len()),
                None if wanted == host => (2, 0),
                _ => return None,
            }
        }
    };
    let head = *method == Method::HEAD && route.methods.contains(&Method::GET);
    if !(route.methods.is_empty() || route.methods.contains(method) || head) {
        return None;
    }
    Some((kind, length, way(&route.path, path)?, !route.methods.is_empty()))
}

/// Segment by segment: 3 for a literal, 2 for a parameter, 1 for the end, 0 for whatever follows.
fn way(wanted: &PathMatch, path: &str) -> Option<Vec<u8>> {
    let (text, open) = match wanted {
        PathMatch::Exact(text) => (text.as_str(), false),
        PathMatch::Prefix(text) => (text.trim_end_matches('/'), true),
        PathMatch::Pattern(text) => match text.rsplit_once("/{*") {
            Some((text, _)) => (text, true),
            None => (text.as_str(), false),
        },
        _ => return None,
    };
    let parameters = matches!(wanted, PathMatch::Pattern(_));
    let mut segments = path.split('/').skip(1);
    let mut way = Vec::new();
    for wanted in text.split('/').skip(1) {
        let segment = segments.next()?;
        way.push(match parameters && wanted.starts_with('{') {
            true if !segment.is_empty() => 2,
            false if wanted == segment => 3,
            _ => return None,
        });
    }
    match (segments.next(), open) {
        (None, false) => way.push(1),
        (_, true) => way.push(0),
        (Some(_), false) => return None,
    }
    Some(way)
}

fn route(line: &str) -> Option<Route> {
    let mut words = line.split(' ');
    let (kind, host, path) = (words.next()?, words.next()?, words.next()?.to_owned());
    let path = match kind {
        "exact" => PathMatch::Exact(path),
        "prefix" => PathMatch::Prefix(path),
        "pattern" => PathMatch::Pattern(path),
        _ => return None,
    };
    let mut route = Route::with_path(path, UPSTREAM.clone());
    route.host = (host != "*").then(|| host.to_owned());
    let (mut strip, mut add) = (None, None);
    for word in words {
        match word.split_once('=') {
            Some(("strip", value)) => strip = Some(value),
            Some(("add", value)) => add = Some(value),
            Some(("template", value)) => route.rewrite = Rewrite::template(value),
            None if word == "get" => route.methods = vec![Method::GET],
            None if word == "slash" => route.encoded_slashes = true,
            _ => return None,
        }
    }
    if strip.is_some() || add.is_some() {
        route.rewrite = Rewrite::replace(strip.unwrap_or_default(), add.unwrap_or_default());
    }
    Some(route)
}
